#!/bin/sh
# A platform with curl: creates a job, lets an agent run it, follows it, and cancels it. The tracker accepts JSON over
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

# A call that returns a stream: five bytes precede each message in both directions, a 0 and the message's length.
stream() { # METHOD JSON
  length=$(printf %s "$2" | wc -c)
  { printf '\000\000\000\000'; printf "\\$(printf %03o "$length")"; printf %s "$2"; } |
    curl -sSN ${TRACKER_TOKEN:+-H "authorization: Bearer $TRACKER_TOKEN"} \
      -H 'content-type: application/connect+json' --data-binary @- "$tracker/belay.v1.JobService/$1"
}

# 1. Create the job. With an id of your own, the call is safe to repeat.
call CreateJob '{"jobId":"'"$job"'","spec":{"name":"count","command":["sh","-c","echo ready; sleep 100"]}}' >/dev/null

# 2. Launch an agent: here in the background; your scheduler does it on a worker, with the same command.
"$@" run --tracker "$tracker" --quiet --job "$job" &

# 3. Follow the job's output until its first line has arrived. Bytes are base64 in JSON.
stream ReadLogs '{"jobId":"'"$job"'","streams":["LOG_STREAM_STDOUT"],"follow":true,"limitBytes":"6"}' |
  grep -ao '"data":"[^"]*"' | cut -d'"' -f4 | base64 -d

# 4. Cancel the job, and watch it until none of its processes is left.
call CancelJob '{"jobId":"'"$job"'","reason":"seen enough","gracePeriod":"2s"}' >/dev/null
stream WatchJob '{"jobId":"'"$job"'"}' | grep -ao '"outcome":"[A-Z_]*"' | head -n 1

wait || true
call GetJob '{"jobId":"'"$job"'"}' | grep -o '"state":"JOB_STATE_[A-Z]*"' | head -n 1
