/**
 * The script for each shell. Each calls `belay completion words` with the typed words, the unfinished one last, and
 * offers files if that prints nothing.
 */
export const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_belay() {
  local IFS=$'\\n'
  COMPREPLY=($(belay completion words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _belay belay
`,
  zsh: `_belay() {
  local -a candidates
  candidates=("\${(@f)$(belay completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n $candidates[1] ]]; then compadd -V belay -- $candidates; else _files; fi
}
compdef _belay belay
`,
  fish: `function _belay
  set -l candidates (belay completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)
  if set -q candidates[1]
    printf '%s\\n' $candidates
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c belay -f -k -a '(_belay)'
`,
};
