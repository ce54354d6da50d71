#!/bin/sh
# A platform with curl: records a job, has an agent run it, follows it, and cancels it. The tracker speaks JSON over
# HTTP/1.1 (the Connect protocol): every call is a POST of a message as protobuf JSON.
#
#     ./platform.sh http://127.0.0.1:7070 belay
set -eu

tracker=$1
shift
job=demo-$$

call() { # METHOD JSON
  curl -sS --fail-with-body ${TRACKER_TOKEN:+-H "authorization: Bearer $TRACKER_TOKEN"} \
    -H 'content-type: application/json' -d "$2" "$tracker/belay.v1.JobService/$1"
  echo
}

# A call that answers with a stream: each message, there and back, has five bytes before it, a 0 and its length.
stream() { # METHOD JSON
  length=$(printf %s "$2" | wc -c)
  { printf '\000\000\000\000'; printf "\\$(printf %03o "$length")"; printf %s "$2"; } |
    curl -sSN ${TRACKER_TOKEN:+-H "authorization: Bearer $TRACKER_TOKEN"} \
      -H 'content-type: application/connect+json' --data-binary @- "$tracker/belay.v1.JobService/$1"
}

# 1. Record it. With an id of your own, the call may be repeated: it is made once.
call CreateJob '{"jobId":"'"$job"'","spec":{"name":"count","command":["sh","-c","echo ready; sleep 100"]}}' >/dev/null

# 2. Launch an agent for it: here in the background; your scheduler does it on a worker, with the same command.
"$@" run --tracker "$tracker" --quiet --job "$job" &

# 3. Follow its output until its first line is there. Bytes are base64 in JSON.
stream ReadLogs '{"jobId":"'"$job"'","streams":["LOG_STREAM_STDOUT"],"follow":true,"limitBytes":"6"}' |
  grep -ao '"data":"[^"]*"' | cut -d'"' -f4 | base64 -d

# 4. Cancel it, and watch until no process of it is left.
call CancelJob '{"jobId":"'"$job"'","reason":"seen enough","gracePeriod":"2s"}' >/dev/null
stream WatchJob '{"jobId":"'"$job"'"}' | grep -ao '"outcome":"[A-Z_]*"' | head -n 1

wait || true
call GetJob '{"jobId":"'"$job"'"}' | grep -o '"state":"JOB_STATE_[A-Z]*"' | head -n 1
