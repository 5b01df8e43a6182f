"""What the `h2` and `hpack` libraries do for every head, without what is checked elsewhere here: half of their time.

A stream's states are still the library's. It checks, normalises and scans fields in up to six passes, in both directions; ours from clients
and instances are checked once by `heads`, and those that we send we have made ourselves. Content-Length is compared with DATA by our
streams: the library forgets when trailers follow, and ends the whole connection.
"""

from typing import Any

from h2.events import Event, TrailersReceived
from h2.exceptions import ProtocolError
from h2.stream import H2Stream, StreamInputs
from hpack import Decoder
from hpack.exceptions import OversizedHeaderListError
from hpack.table import HeaderTable
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame

STATIC = HeaderTable.STATIC_TABLE
ONE_BYTE = 0x80  # a field that is in a table, told by its place
PLACE, LONGER = 0x7F, 0xFF  # 127 and more take further bytes
SIZE_UPDATE = 0x20


class LeanStream(H2Stream):
    def send_headers(self, headers: Any, encoder: Any, end_stream: bool = False) -> Any:
        machine = self.state_machine
        interim = not machine.client and headers[0][1][:1] == b"1" and headers[0][0] == b":status"
        machine.process_input(StreamInputs.SEND_INFORMATIONAL_HEADERS if interim else StreamInputs.SEND_HEADERS)
        block = encoder.encode(headers)
        most = self.max_outbound_frame_size or len(block)
        head = HeadersFrame(self.stream_id)
        head.data = block[:most]
        frames: list[Frame] = [head]
        for start in range(most, len(block), most):
            more = ContinuationFrame(self.stream_id)
            more.data = block[start : start + most]
            frames.append(more)
        frames[-1].flags.add("END_HEADERS")
        if end_stream:
            machine.process_input(StreamInputs.SEND_END_STREAM)
            head.flags.add("END_STREAM")
        return frames

    def receive_headers(self, headers: Any, end_stream: bool, header_encoding: Any) -> tuple[list[Frame], list[Event]]:
        machine = self.state_machine
        interim = bool(machine.client and headers and headers[0][0] == b":status" and headers[0][1][:1] == b"1")
        if interim and end_stream:
            raise ProtocolError("an interim answer ends its stream")
        events: list[Any] = machine.process_input(StreamInputs.RECV_INFORMATIONAL_HEADERS if interim else StreamInputs.RECV_HEADERS)
        told = events[0]
        if end_stream:
            ended = machine.process_input(StreamInputs.RECV_END_STREAM)
            told.stream_ended = ended[0]
            events += ended
        elif isinstance(told, TrailersReceived):
            raise ProtocolError("trailers do not end their stream")
        told.headers = headers
        return [], events


class LeanDecoder(Decoder):
    """Looks up the fields at a block's start that are told by one byte each: of most requests but the first that is all of it."""

    def decode(self, data: bytes, raw: bool = False) -> Any:
        dynamic = self.header_table.dynamic_entries
        known: list[Any] = []
        at = size = 0
        try:
            for byte in data:
                if byte <= ONE_BYTE or byte == LONGER:
                    break
                place = byte & PLACE
                field = STATIC[place - 1] if place <= len(STATIC) else dynamic[place - len(STATIC) - 1]
                known.append(field)
                size += len(field[0]) + len(field[1]) + 32
                at += 1
                if size > self.max_header_list_size:
                    break
        except IndexError:
            return super().decode(data, raw)  # says what is wrong
        if at == len(data) or size > self.max_header_list_size:
            rest: Any = ()
        elif data[at] & 0xE0 == SIZE_UPDATE and at:
            return super().decode(data, raw)  # has no place there
        else:
            rest = super().decode(data[at:], raw)
            size += sum(len(name) + len(value) + 32 for name, value in rest)
        if size > self.max_header_list_size:
            raise OversizedHeaderListError(f"a header list of {size} bytes; {self.max_header_list_size} are allowed")
        known += rest
        return known
