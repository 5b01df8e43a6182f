"""One request and its response, joined: what the client sends goes to the instance, what the instance answers goes back.

It holds its place in the line and on the instance, and gives both back however it ends. Where it goes is decided by `chain`,
what its heads say by `heads`, whether its time is over by `timeouts`. It writes no protocol itself: see `sides`.
"""

from math import inf
from typing import TYPE_CHECKING

from gateway import answers, coldstart, heads, timeouts
from gateway.answers import Answer
from gateway.coldstart import Stopwatch
from gateway.errors import BodyTooLarge, LineFull, OutOfTime, Refusal, Unreachable
from gateway.http1.repeated import KnownResponse
from gateway.http1.reply import Http1Reply
from gateway.http1.tunnel import Tunnel, splice
from gateway.instance import Instance
from gateway.observe import account, watch
from gateway.readahead import ReadAhead
from gateway.sides import Client, Reply, Upstream, is_event

if TYPE_CHECKING:
    from gateway.chain import Chain
    from gateway.http1.upstream import UpstreamConnection
    from gateway.line import Line
    from gateway.route import Backend

REFUSALS = 3  # times that instances may refuse one request unseen; then it is told


class Exchange:
    __slots__ = (
        "_ahead", "_chain", "_doomed", "arrived", "backend", "body_done", "client", "cold", "dialled", "due", "ended", "first_byte",
        "first_failure", "head", "instance", "keep_alive", "last_byte", "line", "received", "refusal", "refusals", "reply", "sent",
        "status", "trailers", "tried", "tunnel", "upstream",
    )  # fmt: skip

    def __init__(self, chain: "Chain", client: Client, head: heads.RequestHead, reply: Reply, *, keep_alive: bool) -> None:
        self._chain = chain
        self.client = client
        self.head = head
        self.keep_alive, self.reply = keep_alive, reply
        self.backend: Backend | None = None
        self.line: Line | None = None
        self.instance: Instance | None = None
        self.upstream: Upstream | None = None
        self.tunnel: Tunnel | None = None
        self.cold: Stopwatch | None = None  # it found no instance at all
        self.tried: set[Instance] | None = None  # instances that could not be reached
        self.first_failure = 0.0
        self.status = 0
        self.body_done = head.length == 0
        self.trailers: heads.Headers = ()  # the request's
        self.ended = False
        self.arrived, self.due = 0.0, inf
        self.dialled: float | None = None  # a new connection was needed, and begun
        self.sent: float | None = None
        self.first_byte: float | None = None
        self.last_byte: float | None = None
        self._ahead: ReadAhead | None = None
        self.received = 0  # bytes of the request's body
        self.refusal: Refusal | None = None  # what the gateway answered itself
        self._doomed: Refusal | None = None  # to be refused when its turn on the connection comes

    # The chain: arrive, wait, forward.

    is_event = property(is_event)

    def start(self) -> None:
        """It is this request's turn on its connection."""
        if self._doomed is not None:
            self.refuse(self._doomed)
        elif not self.ended:
            self._chain.handle(self)

    def enter(self, line: "Line") -> None:
        self.line = line
        self.arrived = now = self._chain.clock()
        line.meter.arrive(now)
        self._chain.active.add(self)
        self.due = now + (line.policy.timeout or inf)

    def wait(self) -> None:
        """In the line now. Cold if there is no instance at all that could take it."""
        assert self.line is not None
        if self.cold is None and not self.line.usable:
            told = self._chain.wall_clock()  # the line has poked the autoscaler
            self.cold = Stopwatch(told - (self._chain.clock() - self.arrived), told)
        self.due = self._wait_until()

    def go(self, instance: Instance) -> None:
        """There is a place on this instance, and it is ours."""
        self.instance = instance
        now = self._chain.clock()
        connection = instance.take(now, self._chain.settings.upstream_idle)
        if connection is not None:
            self.connected(connection, now)  # type: ignore[arg-type]  # the pool holds what connected() puts there
        else:
            self.dialled = now
            self._chain.dial(self, instance)

    def connected(self, upstream: Upstream, now: float = 0.0) -> None:
        assert self.line is not None
        self.upstream = upstream
        now = self.sent = now or self._chain.clock()
        if self.cold is not None:
            self.cold.sent = self._chain.wall_clock()
        ahead: list[bytes] = []
        if self._ahead is not None:
            ahead = self._ahead.take()
            self._ahead = None
        if not self.body_done:
            self.client.resume_reading()  # first: sending may find that the instance takes no more
        upstream.send(self, ahead)
        if not self.client.writable:
            upstream.pause_reading()
        policy = self.line.policy
        if self.cold is not None or policy.response_start or policy.idle:
            self.due = timeouts.check(policy, self._progress(), now).again

    def not_connected(self, instance: Instance, error: OSError) -> None:
        """Nobody has seen the request yet, so it may go elsewhere, or wait until somebody answers at all."""
        line = self.line
        if self.ended or line is None:
            return
        self.instance = None
        now = self._chain.clock()
        self.first_failure = self.first_failure or now
        self.tried = (self.tried or set()) | {instance}
        line.meter.failed(account.kind(error))
        line.refused(instance)
        line.release(instance)
        if now - self.first_failure >= self._chain.settings.unreachable:
            self.refuse(Unreachable(f"No instance of revision {line.key} accepts connections: {error}."))
            return
        line.meter.retries += 1
        self._chain.admit(self, line)

    # The client's side.

    def request_body(self, data: bytes) -> None:
        if self.ended or self._doomed is not None:
            return
        self.received += len(data)
        most = self._chain.settings.max_body
        if most and self.received > most:
            self.request_too_large(most)
        elif self.upstream is not None:
            if not self.upstream.closing:
                self.upstream.body(data)
        else:
            if self._ahead is None:
                self._ahead = ReadAhead(self._chain.shared)
            if not self._ahead.add(data):
                self.client.pause_reading()
            if self._ahead.too_much:
                self.refuse(LineFull("The bodies of waiting requests fill the gateway's memory.", self._chain.settings.retry_after))

    def request_done(self, trailers: heads.Headers) -> None:
        self.body_done = True
        self.trailers = trailers
        if self.upstream is not None and not self.upstream.closing:
            self.upstream.end(trailers)

    def request_too_large(self, most: int) -> None:
        self.refuse(BodyTooLarge(f"The request's body is over {most} bytes."))

    def forget_body(self) -> None:
        """Hold none of it any more."""
        if self._ahead is not None:
            self._ahead.take()

    def client_gone(self) -> None:
        if not self.ended:
            self._drop_upstream()
            self._end()

    def pause_upstream(self) -> None:
        if self.upstream is not None and not self.upstream.closing:
            self.upstream.pause_reading()

    def resume_upstream(self) -> None:
        if self.upstream is not None and not self.upstream.closing:
            self.upstream.resume_reading()

    # The instance's side.

    def interim(self, status: int, reason: bytes, headers: heads.Headers) -> None:
        """100 Continue, 103 Early Hints: passed on to a client that knows them."""
        self.last_byte = self._chain.clock()  # for a revision's limits that is a beginning
        self.reply.interim(status, reason, headers)

    def response_head(self, status: int, reason: bytes, headers: heads.Headers) -> None:
        self.status = status
        if self._chain.stopping:
            self.keep_alive = False
        reply = self.reply
        start = reply.begin(status, reason, headers, keep_alive=self.keep_alive)
        self.first_byte = self.last_byte = self._chain.clock()
        if reply.length == heads.UNTIL_CLOSE:
            self.keep_alive = False
        if start and self.instance is not None:
            self.instance.started(start)
        if self.cold is not None and self.line is not None and self.instance is not None:
            record = self.cold.stop(self._chain.wall_clock(), self.instance, status, self.head.request_id)
            self.line.keep(record)
            reply.field(b"Server-Timing", record.server_timing())
        elif self.head.timing:
            reply.field(b"Server-Timing", coldstart.warm(self.arrived, self.dialled, self.sent, self.first_byte))

    def flush(self) -> None:
        if self.reply.flush():
            self.last_byte = self._chain.clock()

    def response_done(self, trailers: heads.Headers = ()) -> None:
        self.reply.end(trailers)
        self.flush()
        now = self._chain.clock()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if upstream.open and self.body_done and self.instance is not None:
                if not self.client.writable:
                    upstream.resume_reading()  # it was stopped for this client's sake, and may serve another next
                self.instance.put(upstream, now)  # type: ignore[arg-type]  # what take() gave
            else:
                upstream.close()
        self._end(now)

    def response_again(self, known: KnownResponse, data: bytes, body: int) -> bool:
        """The instance's whole answer, with a head that this connection has seen before. False: it must be read as any other."""
        chain, reply, instance, upstream = self._chain, self.reply, self.instance, self.upstream
        if not (self.body_done and self.keep_alive and self.client.writable) or chain.stopping or self.cold is not None or self.head.timing:
            return False
        if instance is None or upstream is None or type(reply) is not Http1Reply or not reply.again(known, data, body):
            return False
        self.status = known.status
        self.first_byte = self.last_byte = now = chain.clock()
        self.upstream = None
        instance.put(upstream, now)  # type: ignore[arg-type]  # what take() gave
        self._end(now)
        return True

    def switch(self, upstream: "UpstreamConnection", early: bytes) -> None:
        """The instance has agreed to another protocol."""
        splice(self, upstream, early, idle=self._chain.settings.tunnel_idle, now=self._chain.clock())

    def upstream_lost(self, error: Exception | None) -> None:
        """The instance closed the connection before it had answered to the end."""
        self.upstream = None
        if self.ended:
            return
        if self.first_byte is not None and self.reply.until_close:
            self.response_done()
        else:
            self.upstream_broken(f"closed the connection{f' ({error})' if error else ''}", "reset")

    def upstream_broken(self, what: str, kind: str = "broken") -> None:
        """`kind` is for the count: `reset`, or `broken` for an answer that breaks its protocol."""
        self.upstream = None
        if self.ended or self.line is None:
            return
        self.line.meter.failed(kind)
        name = self.instance.name if self.instance else "?"
        when = "in the middle of its answer" if self.first_byte is not None else "before it answered"
        self.refuse(Unreachable(f"Instance {name} of revision {self.line.key} {what} {when}."))

    def now(self) -> tuple[float, float]:
        """By the clock of its own times, and as Unix time."""
        return self._chain.clock(), self._chain.wall_clock()

    def upstream_refused(self, ahead: list[bytes] | None) -> None:
        """The instance has certainly not begun it: it may go elsewhere, or there once more, if what was sent of its body is still here."""
        line, instance = self.line, self.instance
        self.upstream = None
        if self.ended or line is None or instance is None:
            return
        self.refusals = getattr(self, "refusals", 0) + 1
        if ahead is None or self.refusals > REFUSALS:
            self.upstream_broken("refused the request")
            return
        if ahead:
            self._ahead = ReadAhead(self._chain.shared)
            for data in ahead:
                if not self._ahead.add(data):
                    self.client.pause_reading()
        self.instance = self.sent = None
        line.meter.retries += 1
        line.release(instance)
        self._chain.admit(self, line)

    # Ends.

    def refuse(self, why: Refusal) -> None:
        """The gateway answers itself. When an answer has begun already it can only be cut off."""
        if self.ended:
            return
        if self.client.current is not self:
            self._doomed = why  # those before it are answered first
            self.forget_body()
            return
        self._drop_upstream()
        if self.first_byte is not None and not self.reply.take_back():
            self.reply.cut(at_once=True)
            self._end()
            return
        self.refusal = why
        if why.close:
            self.keep_alive = False
        self._chain.count(why, self.line)
        timing = b"" if self.cold is None else self.cold.given_up(self._chain.wall_clock(), self.line)
        self.answer(answers.refusal(why, accept=self.head.accept, request_id=self.head.request_id, timing=timing))

    def answer(self, answer: Answer) -> None:
        """Answer in the gateway's own name."""
        self.status = answer.status
        if not self.body_done:
            self.keep_alive = False
        self.reply.whole(answer, keep_alive=self.keep_alive)
        self._end()

    def overdue(self, now: float) -> None:
        """`due` has passed: see which limit that was."""
        line = self.line
        if self.tunnel is not None:
            self.due = self.tunnel.check(now)
        elif line is None or self.ended:
            return
        elif self.sent is None:
            self.due = self._wait_until()
            if now < self.due:
                return
            if self.first_failure:
                self.refuse(Unreachable(f"No instance of revision {line.key} accepts connections."))
            else:
                self.refuse(line.not_in_time())
        else:
            verdict = timeouts.check(line.policy, self._progress(), now)
            self.due = verdict.again
            if verdict.over:
                line.meter.failed("answer_timeout")
            if verdict.over and self.first_byte is None:
                self.refuse(OutOfTime(f"request timeout: revision {line.key} did not begin its answer within its {verdict.over}."))
            elif verdict.over:
                self._cut_short()

    def tunnel_ended(self) -> None:
        self.upstream = None
        self._end(tell_client=False)

    # Inside.

    def _progress(self) -> timeouts.Progress:
        if self.first_byte is not None and not self.client.writable:
            self.last_byte = self._chain.clock()  # it is the client that is slow; the instance is not being read from
        return timeouts.Progress(self.arrived, self.sent, self.first_byte, self.last_byte)

    def _wait_until(self) -> float:
        line = self.line
        assert line is not None
        settings = self._chain.settings
        return timeouts.wait_until(
            self.arrived, self.first_failure, line.policy, wait=settings.wait, unreachable=settings.unreachable, known=line.known
        )

    def _cut_short(self) -> None:
        """A time limit passed after the answer began: end the body where the client can see that it has ended, as Knative does."""
        self._drop_upstream()
        trailers = self.reply.too_late()
        if trailers is not None:
            self.response_done(trailers)
        else:
            self.reply.cut(at_once=False)
            self._end()

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def _end(self, now: float = 0.0, *, tell_client: bool = True) -> None:
        """Give back every place, once."""
        if self.ended:
            return
        self.ended = True
        chain, line, instance = self._chain, self.line, self.instance
        self.forget_body()
        if chain.watchers:
            watch.ended(chain.watchers, self)
        if line is not None:
            chain.active.discard(self)
            meter = line.meter
            meter.leave(now or chain.clock(), self.arrived, self.status)
            meter.received += self.received
            meter.answered += self.reply.size
            line.leave(self)
            if instance is not None:
                self.instance = None
                line.release(instance)
        if tell_client:
            self.client.finished(self)
