#!/bin/sh
":" /*
# The kernel runs this script for `belay`. It starts Node on the same file, for which the script is a comment. Without
# it, Node would obey settings that are meant for the job, before the first line of the program: it reads "--env-file"
# in any command line without an earlier "--", obeys NODE_OPTIONS, raises the limit of open files, and resets ignored
# signals.
# The settings are noted in BELAY_LAUNCH_..., and launch.ts restores them for the job. POSIX sh: dash, busybox, bash.

refuse() {
  printf 'belay: Cannot start: %s\n' "$1" >&2
  exit 125
}

hash node 2>&- || refuse "there is no \"node\" on PATH \"${PATH-}\"; install Node 22.18 or later"
[ -c /dev/null ] || refuse 'there is no /dev/null'

# Below these limits, Node crashes. Of open files, the hard limit counts, to which Node raises the soft one.
limits=$(ulimit -Sn; ulimit -Hn; ulimit -v) newline='
'
BELAY_LAUNCH_OPEN_FILES=${limits%%"$newline"*} limits=${limits#*"$newline"}
case ${limits%%"$newline"*} in
  ? | [1-5]?) refuse "it may open ${limits%%"$newline"*} files (ulimit -Hn), and needs 60" ;;
esac
case ${limits#*"$newline"} in
  ? | ?? | ??? | ???? | ????? | ?????? | 1??????)
    refuse "its address space is limited to ${limits#*"$newline"} KiB (ulimit -v), and Node needs 2000000" ;;
esac

export BELAY_LAUNCH_OPEN_FILES BELAY_LAUNCH_STAT= BELAY_LAUNCH_ODD=
[ -r /proc/$$/stat ] && read -r BELAY_LAUNCH_STAT < /proc/$$/stat

# Some shells drop variables whose names a shell cannot set, such as "my.key" or the functions that bash exports.
odd='^[A-Za-z_][A-Za-z0-9_]*='
if [ -z "${BASH_VERSION-}" ] && [ -r /proc/$$/environ ] && grep -qazv "$odd" /proc/$$/environ 2>&-; then
  BELAY_LAUNCH_ODD=$(grep -azv "$odd" /proc/$$/environ | base64)
fi

for name in NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_USE_SYSTEM_CA NODE_USE_ENV_PROXY \
  NODE_DEBUG NODE_DEBUG_NATIVE NODE_V8_COVERAGE NODE_PATH NODE_PENDING_DEPRECATION NODE_PRESERVE_SYMLINKS \
  NODE_PRESERVE_SYMLINKS_MAIN NODE_REDIRECT_WARNINGS NODE_NO_WARNINGS NODE_ICU_DATA NODE_CHANNEL_FD \
  NODE_CHANNEL_SERIALIZATION_MODE NODE_UNIQUE_ID NODE_CLUSTER_SCHED_POLICY NODE_INSPECT_RESUME_ON_START \
  NODE_REPL_EXTERNAL_MODULE NODE_TEST_CONTEXT NODE_TEST_WORKER_ID NODE_SKIP_PLATFORM_CHECK NODE_DISABLE_COLORS \
  OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES SSL_CERT_FILE SSL_CERT_DIR \
  UV_THREADPOOL_SIZE UV_USE_IO_URING WATCH_REPORT_DEPENDENCIES
do
  eval "[ -n \"\${$name+set}\" ] && export BELAY_LAUNCH_FOR_JOB_$name=\"\$$name\" && unset $name"
done

# Until the program's first line handles it, SIGUSR1 opens Node's debugger, through which other users of the machine
# could run code as this user. On an address of 192.0.2.0/24 (RFC 5737), which no machine has, it cannot be opened.
exec node --inspect-port=192.0.2.1:1024 -- "$0" "$@"
*/
