"""An agent of few words, written from belay/v1/tracker_service.proto alone.

Arguments: file of descriptors, host:port, job id. Runs the spec's command as the tracker says
it, sends what it prints, obeys cancel, and goes when it has the Receipt. Loses its first stream on purpose after some
records, and goes on where the tracker says.
"""

import platform
import queue
import subprocess
import sys
import threading
import time
import uuid
import zlib

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

POOL = descriptor_pool.DescriptorPool()
with open(sys.argv[1], "rb") as contract:
    for file in descriptor_pb2.FileDescriptorSet.FromString(contract.read()).file:
        POOL.Add(file)
FACTORY = message_factory.MessageFactory(POOL)


class Contract:
    """belay.v1 as the descriptors say it: messages, and the values of enums."""

    def __getattr__(self, name):
        try:
            value = FACTORY.GetPrototype(POOL.FindMessageTypeByName(f"belay.v1.{name}"))
        except KeyError:
            value = next(
                enum.values_by_name[name].number
                for file in ("belay/v1/job.proto", "belay/v1/tracker_service.proto")
                for enum in POOL.FindFileByName(file).enum_types_by_name.values()
                if name in enum.values_by_name
            )
        setattr(self, name, value)
        return value


pb = Contract()
METHOD = "/belay.v1.TrackerService/OpenSession"

ADDRESS, JOB_ID = sys.argv[2], sys.argv[3]
SESSION_ID = str(uuid.uuid4())


class Agent:
    def __init__(self):
        self.events, self.logs = [], []
        self.totals = [0, 0, 0]
        self.process = None
        self.attempt = 0
        self.outbox = None
        self.receipt = None
        self.cancels = []
        self.streams = 0

    def send(self, **payload):
        if self.outbox is not None:
            self.outbox.put(pb.OpenSessionRequest(**payload))

    def event(self, **kind):
        event = pb.Event(sequence=len(self.events) + 1, **kind)
        event.event_time.seconds = int(time.time())
        self.events.append(event)
        self.send(event=event)

    def output(self, data):
        offset, lines, crc = self.totals
        chunk = pb.LogChunk(stream=pb.LOG_STREAM_STDOUT, step=1, offset=offset, read_unix_nano=time.time_ns(), data=data)
        self.totals = [offset + len(data), lines + data.count(b"\n"), zlib.crc32(data, crc)]
        batch = pb.LogBatch(sequence=len(self.logs) + 1, chunks=[chunk])
        self.logs.append(batch)
        self.send(log_batch=batch)

    def run(self, command):
        self.process = subprocess.Popen(list(command), stdout=subprocess.PIPE)
        self.event(step_started=pb.StepStarted(step=1, argv=list(command), pid=self.process.pid, main=True))
        self.event(state_change=pb.StateChange(state=pb.JOB_STATE_RUNNING))
        while data := self.process.stdout.read1(65536):
            self.output(data)
        code = self.process.wait()
        canceled = bool(self.cancels)
        result = pb.JobResult(
            outcome=pb.OUTCOME_CANCELED if canceled else pb.OUTCOME_SUCCEEDED if code == 0 else pb.OUTCOME_FAILED,
            reason=pb.END_REASON_CANCELED if canceled else pb.END_REASON_EXITED,
            streams=[pb.StreamTotals(stream=pb.LOG_STREAM_STDOUT, bytes=self.totals[0], lines=self.totals[1], crc32=self.totals[2])],
        )
        if code >= 0:
            result.exit_code = code
        self.event(result=result)
        for command_id in self.cancels:
            self.event(command_update=pb.CommandUpdate(command_id=command_id, state=pb.COMMAND_STATE_COMPLETED))

    def obey(self, command):
        if command.WhichOneof("order") == "cancel":
            self.cancels.append(command.command_id)
            self.event(command_update=pb.CommandUpdate(command_id=command.command_id, state=pb.COMMAND_STATE_RECEIVED))
            self.process.terminate()
        else:
            update = pb.CommandUpdate(command_id=command.command_id, state=pb.COMMAND_STATE_REJECTED, message="Not in Python")
            self.event(command_update=update)

    def one_stream(self):
        self.streams += 1
        outbox = queue.SimpleQueue()
        outbox.put(pb.OpenSessionRequest(hello=pb.Hello(
            session_id=SESSION_ID, job_id=JOB_ID, attempt=self.attempt,
            agent=pb.AgentInfo(version="python", hostname=platform.node()),
            supported_commands=[pb.COMMAND_KIND_CANCEL],
            state=pb.JOB_STATE_RUNNING if self.process else pb.JOB_STATE_PENDING,
        )))
        with grpc.insecure_channel(ADDRESS) as channel:
            call = channel.stream_stream(
                METHOD, pb.OpenSessionRequest.SerializeToString, pb.OpenSessionResponse.FromString
            )
            answers = call(iter(outbox.get, None))
            welcome = next(answers).welcome
            self.attempt = welcome.attempt
            self.outbox = outbox
            for event in self.events[welcome.committed.events:]:
                self.send(event=event)
            for batch in self.logs[welcome.committed.logs:]:
                self.send(log_batch=batch)
            if self.process is None:
                threading.Thread(target=self.run, args=[welcome.spec.command], daemon=True).start()
            self.send(heartbeat=pb.Heartbeat(nonce=self.streams))
            for answer in answers:
                kind = answer.WhichOneof("payload")
                if kind == "command":
                    self.obey(answer.command)
                elif kind == "receipt":
                    self.receipt = answer.receipt
                    outbox.put(None)
                elif kind == "ack" and self.streams == 1 and answer.ack.logs >= 2:
                    self.outbox = None
                    answers.cancel()
                    return

    def main(self):
        while self.receipt is None:
            try:
                self.one_stream()
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
                time.sleep(0.1)
        complete = "complete" if self.receipt.log_completeness == pb.LOG_COMPLETENESS_COMPLETE else "incomplete"
        print(f"receipt, {complete}, after {self.streams} streams")


Agent().main()
