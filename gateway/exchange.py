"""One request and its response, joined: what the client sends goes to the instance, what the instance answers goes back.

It holds its place in the line and on the instance, and gives both back however it ends. Decisions about it are `heads` and `timeouts`;
where it goes is decided by `chain`.
"""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from gateway import answers, coldstart, heads, timeouts
from gateway.errors import BodyTooLarge, LineFull, NotInTime, Refusal, Unreachable
from gateway.instance import Instance

if TYPE_CHECKING:
    from gateway.chain import Chain
    from gateway.line import Line
    from gateway.listen import ClientConnection
    from gateway.tunnel import Side
    from gateway.upstream import UpstreamConnection

Trailers = Sequence[tuple[bytes, bytes]]


class Exchange:
    __slots__ = (
        "_body_bytes", "_chain", "_chunks", "_held", "_left", "_length", "_out", "_trailer", "_until_close", "arrived", "body_done",
        "client", "cold", "due", "ended", "first_byte", "first_failure", "head", "instance", "keep_alive", "last_byte", "line",
        "sent", "side", "status", "tried", "upstream", "wall_arrived", "wall_sent", "wall_told",
    )  # fmt: skip

    def __init__(self, chain: "Chain", client: "ClientConnection", head: heads.RequestHead, *, keep_alive: bool) -> None:
        self._chain = chain
        self.client = client
        self.head = head
        self.keep_alive = keep_alive
        self.line: Line | None = None
        self.instance: Instance | None = None
        self.upstream: UpstreamConnection | None = None
        self.side: Side | None = None  # of the tunnel that it became
        self.tried: set[Instance] | None = None  # instances that could not be reached
        self.first_failure = 0.0
        self.status = 0
        self.body_done = head.length == 0
        self.ended = False
        self.cold = False
        self.arrived = 0.0
        self.due = inf
        self.sent: float | None = None
        self.first_byte: float | None = None
        self.last_byte: float | None = None
        self._chunks: list[bytes] = []  # of the request's body, read ahead while it waits
        self._held = 0  # their bytes
        self._body_bytes = 0
        self._trailer = b""
        self._length = 0  # how the response's body is framed for the client, as in heads.ResponseHead
        self._left = 0  # bytes of a sized response body still to come
        self._until_close = False  # the instance ends its body by closing
        self._out: list[bytes] = []  # for the client, written when the instance's bytes have been read

    # The chain: arrive, wait, forward.

    def start(self) -> None:
        self._chain.handle(self)

    def enter(self, line: "Line") -> None:
        self.line = line
        self.arrived = now = self._chain.clock()
        line.meter.arrive(now)
        self._chain.active.add(self)
        self._watch(now)

    def wait(self) -> None:
        """In the line now. Cold if there is no instance at all that could take it."""
        assert self.line is not None
        if not self.cold and not self.line.usable:
            self.cold = True
            self.wall_arrived = self.wall_told = self._chain.wall_clock()
        self._watch(self._chain.clock())
        if self._held > self._chain.settings.waiting_body:
            self.client.pause_reading()

    def go(self, instance: Instance) -> None:
        """There is a place on this instance, and it is ours."""
        self.instance = instance
        connection = instance.take(self._chain.clock(), self._chain.settings.upstream_idle)
        if connection is not None:
            self.connected(connection)  # type: ignore[arg-type]  # the pool holds what connected() puts there
        else:
            self._chain.dial(self, instance)

    def connected(self, connection: "UpstreamConnection") -> None:
        self.upstream = connection
        now = self.sent = self._chain.clock()
        if self.cold:
            self.wall_sent = self._chain.wall_clock()
        connection.send(self, self.head.wire)
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            self._unhold()
            for chunk in chunks:
                self._forward_body(chunk)
        if self.body_done:
            self._forward_end()
        else:
            self.client.resume_reading()
        if not self.client.writable:
            connection.transport.pause_reading()
        policy = self.line.policy if self.line else None
        if policy is not None and (policy.response_start or policy.idle):
            self._watch(now)

    def not_connected(self, instance: Instance, error: OSError) -> None:
        """Nobody has seen the request yet, so it may go elsewhere, or wait until somebody answers at all."""
        line = self.line
        if self.ended or line is None:
            return
        self.instance = None
        now = self._chain.clock()
        self.first_failure = self.first_failure or now
        self.tried = (self.tried or set()) | {instance}
        line.meter.unreachable += 1
        line.refused(instance)
        line.release(instance)
        if now - self.first_failure >= self._chain.settings.unreachable:
            self.refuse(Unreachable(f"No instance of revision {line.key} accepts connections: {error}."))
            return
        line.meter.retries += 1
        self._chain.admit(self, line)

    # The client's side.

    def request_body(self, data: bytes) -> None:
        if self.ended:
            return
        self._body_bytes += len(data)
        most = self._chain.settings.max_body
        if most and self._body_bytes > most:
            self.request_too_large(most)
        elif self.upstream is not None:
            self._forward_body(data)
        else:
            self._hold(data)

    def request_done(self, trailers: Trailers) -> None:
        self.body_done = True
        if trailers:
            self._trailer = heads.trailers(trailers)
        if self.upstream is not None:
            self._forward_end()

    def request_too_large(self, most: int) -> None:
        self.refuse(BodyTooLarge(f"The request's body is over {most} bytes."))

    def request_broken(self, why: Refusal) -> None:
        """The request's body makes no sense: the instance must not take the part of it for the whole."""
        self.refuse(why)

    def client_gone(self) -> None:
        if not self.ended:
            self._drop_upstream()
            self._end()

    def pause_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.transport.pause_reading()

    def resume_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.transport.resume_reading()

    # The instance's side.

    def interim(self, status: int, reason: bytes, headers: Trailers) -> None:
        """100 Continue, 103 Early Hints: passed on as they are to a client that knows them."""
        if self.head.modern:
            fields = b"".join(b"%b: %b\r\n" % (n, v) for n, v in headers if n.lower() not in heads.RESPONSE_FIELDS)
            self.client.transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, fields))

    def response_head(self, status: int, reason: bytes, headers: Trailers) -> None:
        self.status = status
        self.first_byte = self.last_byte = self._chain.clock()
        head = self.head
        if self._chain.stopping:
            self.keep_alive = False
        answer = heads.response(status, reason, headers, method=head.method, modern=head.modern, keep_alive=self.keep_alive)
        self._length = self._left = answer.length
        self._until_close = not answer.ends_by_length
        if answer.length == heads.UNTIL_CLOSE:
            self.keep_alive = False
        self._out += answer.wire
        if answer.start or self.cold:
            self._tell_start(answer.start)
        self._out.append(b"\r\n")

    def response_body(self, data: bytes) -> None:
        if self._length == heads.CHUNKED:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._left -= len(data)
            self._out.append(data)

    def flush(self) -> None:
        out = self._out
        if out:
            self._out = []
            self.last_byte = self._chain.clock()
            self.client.transport.write(b"".join(out) if len(out) > 1 else out[0])

    def response_done(self, trailers: Trailers = ()) -> None:
        if self._length == heads.CHUNKED:
            self._out.append(b"0\r\n%b\r\n" % heads.trailers(trailers) if trailers else b"0\r\n\r\n")
        self.flush()
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            if upstream.open and self.body_done and self.instance is not None:
                self.instance.put(upstream, self._chain.clock())
            else:
                upstream.close()
        self._end()

    def upstream_lost(self, error: Exception | None) -> None:
        """The instance closed the connection before it had answered to the end."""
        self.upstream = None
        if self.ended:
            return
        if self.first_byte is not None and self._until_close:
            self.response_done()
        else:
            self.upstream_broken(f"closed the connection{f' ({error})' if error else ''}")

    def upstream_broken(self, what: str) -> None:
        self.upstream = None
        if self.ended:
            return
        if self.line is not None:
            self.line.meter.unreachable += 1
        name = self.instance.name if self.instance else "?"
        when = "in the middle of its answer" if self.first_byte is not None else "before it answered"
        self.refuse(Unreachable(f"Instance {name} of revision {self.line.key if self.line else '?'} {what} {when}."))

    # Ends.

    def refuse(self, why: Refusal) -> None:
        """The gateway answers itself. When an answer has begun already it can only be cut off."""
        if self.ended:
            return
        self._drop_upstream()
        if self.first_byte is not None:
            self.client.transport.abort()
            self._end()
            return
        self.status = why.status
        head = self.head
        if why.close or not self.body_done:
            self.keep_alive = False
        if self.line is None:
            self._chain.refused[why.status] = self._chain.refused.get(why.status, 0) + 1
        self._answer(
            answers.refusal(
                why, as_json=head.json, keep_alive=self.keep_alive, head_only=head.method == b"HEAD", request_id=head.request_id
            )
        )

    def answer(self, status: int, title: str, body: bytes, extra: bytes = b"") -> None:
        """Answer in the gateway's own name."""
        self.status = status
        head_only = self.head.method == b"HEAD"
        self._answer(answers.plain(status, title, body, keep_alive=self.keep_alive, head_only=head_only, extra=extra))

    def overdue(self, now: float) -> None:
        """`due` has passed: see which limit that was."""
        if self.side is not None:
            self._tunnel_overdue(now)
            return
        line = self.line
        if line is None or self.ended:
            return
        if self.sent is None:
            unreachable = self.first_failure and now - self.first_failure >= self._chain.settings.unreachable
            if unreachable:
                self.refuse(Unreachable(f"No instance of revision {line.key} accepts connections."))
            elif now - self.arrived >= min(line.policy.timeout or inf, self._chain.settings.wait):
                self.refuse(line.not_in_time())
            else:
                self._watch(now)
            return
        verdict = timeouts.check(line.policy, timeouts.Progress(self.arrived, self.sent, self.first_byte, self.last_byte), now)
        if not verdict.over:
            self.due = verdict.again
        elif self.first_byte is None:
            self.refuse(NotInTime(f"request timeout: revision {line.key} did not begin its answer within its {verdict.over}."))
        else:
            self._cut_short()

    # A tunnel.

    def tunnelled(self, side: "Side") -> None:
        self.side = side
        self.touched()
        self.due = self._chain.clock() + self._chain.settings.tunnel_idle

    def touched(self) -> None:
        self.last_byte = self._chain.clock()

    def tunnel_ended(self) -> None:
        self.upstream = None
        self._end(tell_client=False)

    # Inside.

    def _watch(self, now: float) -> None:
        """Set `due` to the nearest limit."""
        assert self.line is not None
        if self.sent is None:
            self.due = self.arrived + min(self.line.policy.timeout or inf, self._chain.settings.wait)
            if self.first_failure:
                self.due = min(self.due, self.first_failure + self._chain.settings.unreachable)
        else:
            self.due = timeouts.check(
                self.line.policy, timeouts.Progress(self.arrived, self.sent, self.first_byte, self.last_byte), now
            ).again

    def _hold(self, data: bytes) -> None:
        chain = self._chain
        self._chunks.append(data)
        self._held += len(data)
        chain.shared.held += len(data)
        if chain.shared.held > chain.settings.waiting_memory:
            self.refuse(LineFull("The bodies of waiting requests fill the gateway's memory.", chain.settings.retry_after))
        elif self._held > chain.settings.waiting_body:
            self.client.pause_reading()

    def _unhold(self) -> None:
        self._chain.shared.held -= self._held
        self._held = 0

    def _forward_body(self, data: bytes) -> None:
        upstream = self.upstream
        if upstream is None or upstream.transport.is_closing():
            return
        if self.head.length == heads.CHUNKED:
            upstream.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            upstream.transport.write(data)

    def _forward_end(self) -> None:
        if self.head.length == heads.CHUNKED and self.upstream is not None and not self.upstream.transport.is_closing():
            self.upstream.transport.write(b"0\r\n%b\r\n" % self._trailer)

    def _answer(self, data: bytes) -> None:
        if not self.client.transport.is_closing():
            self.client.transport.write(data)
        self._end()

    def _cut_short(self) -> None:
        """A time limit passed after the answer began: end the body where the client can see that it has ended."""
        self._drop_upstream()
        if self._length in (heads.CHUNKED, heads.UNTIL_CLOSE):
            self.response_body(b"request timeout")
            self.response_done()
        else:
            self.client.transport.close()  # a sized body cannot be ended early
            self._end()

    def _tunnel_overdue(self, now: float) -> None:
        assert self.side is not None
        quiet_since = self.last_byte if self.last_byte is not None else now
        self.due = quiet_since + self._chain.settings.tunnel_idle
        if self.due <= now:
            self.side.other.transport.close()
            self.side.transport.close()

    def _tell_start(self, header: bytes) -> None:
        """Keep what the instance says of its start; tell a client that waited for it where the time went."""
        instance = self.instance
        if instance is None:
            return
        if header:
            instance.start = coldstart.parse(header)
        if not self.cold or self.line is None:
            return
        start = instance.start or coldstart.StartTimes()
        spans = coldstart.phases(self.wall_arrived, self.wall_told, self.wall_sent, self._chain.wall_clock(), start)
        self._out += (b"Server-Timing: ", coldstart.server_timing(spans), b"\r\n")
        total = round(sum(spans.values()), 3)
        record = coldstart.ColdStart(self.wall_arrived, self.head.request_id.decode("latin-1"), instance.name, self.status, spans, total)
        self.line.cold_starts.append(record)
        self.line.cold_count += 1
        for name, span in spans.items():
            self.line.cold_seconds[name] = self.line.cold_seconds.get(name, 0.0) + span / 1000

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def _end(self, *, tell_client: bool = True) -> None:
        """Give back every place, once."""
        if self.ended:
            return
        self.ended = True
        chain, line, instance = self._chain, self.line, self.instance
        self._chunks = []
        if self._held:
            self._unhold()
        if line is not None:
            chain.active.discard(self)
            line.meter.leave(chain.clock(), self.arrived, self.status)
            line.leave(self)
            if instance is not None:
                self.instance = None
                line.release(instance)
        if tell_client:
            self.client.finished(self)
