"""The `h2` library, with what a gateway needs otherwise: a GOAWAY does not end the streams that run, heads are encoded by `encode`,
and counting streams costs the same for one and for 250. This module and `lean` are the only ones that touch the library's inner names."""

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream
from hyperframe.frame import Frame, GoAwayFrame

from gateway.http2.encode import Encoder
from gateway.http2.lean import LeanDecoder, LeanStream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LAST_STREAM = 2**31 - 1

STREAM_WINDOW = 65_535  # what a stream may send before any of it was taken, times ...
STREAMS = 250  # ... the streams of a connection: together less than the connection's window, so that stalled ones starve nobody
GROWN = 448 * 1024  # more for a stream whose bytes are always taken at once, for paths with long round trips, but only for ...
MOST_GROWN = 32  # ... so many at once
CONNECTION_WINDOW = 32 * 1024 * 1024  # the most that one connection's unread bytes can take of our memory
FRAME = 65_536  # larger than the default of 16 KiB: each frame costs some 20 µs here, whatever its size
TABLE = 4096

SWEEP = 64  # new streams between two looks for closed ones


class Http2(H2Connection):
    MAX_CLOSED_STREAMS = 4096  # remembered, to tell late frames from wrong ones; the library's 65,536 would take 6 MB a connection

    def __init__(self, *, client: bool, max_head: int) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_inbound_headers=False,  # `heads` does, for a fifth of the time
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.encoder = Encoder()  # type: ignore[assignment]  # has what is used of the library's
        self.decoder = LeanDecoder()
        self._opened = 0
        self.local_settings = Settings(
            client=client,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
                SettingCodes.MAX_HEADER_LIST_SIZE: max_head,
                SettingCodes.MAX_FRAME_SIZE: FRAME,
                SettingCodes.HEADER_TABLE_SIZE: TABLE,
            },
        )
        self.decoder.max_header_list_size = max_head
        self.max_inbound_frame_size = FRAME
        self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW - STREAM_WINDOW)

    @property
    def open_inbound_streams(self) -> int:
        """The wire counts and refuses one by one; the library would end the connection, and look at every stream for it each time."""
        self._sweep()
        return 0

    @property
    def open_outbound_streams(self) -> int:
        self._sweep()
        return 0

    @property
    def most_outbound(self) -> int:
        """How many streams the peer takes at once."""
        return int(self.remote_settings.max_concurrent_streams)

    @property
    def partial(self) -> int:
        """Bytes of a frame that has not come whole."""
        return len(self.incoming_buffer._data)

    @property
    def in_head(self) -> bool:
        """HEADERS have begun and not ended: nothing but CONTINUATION may come."""
        return bool(self.incoming_buffer._headers_buffer)

    @property
    def pending(self) -> int:
        """Bytes that `data_to_send` would give."""
        return len(self._data_to_send)

    def goaway(self, last: int, code: int = ErrorCodes.NO_ERROR, why: bytes = b"") -> None:
        """Say it, and go on with the streams that run."""
        self._prepare_for_sending([GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=why)])

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = LeanStream
        return stream

    def _sweep(self) -> None:
        self._opened += 1
        if self._opened % SWEEP == 0:
            self._open_streams(0)

    def _receive_frame(self, frame: Frame) -> list[Event]:
        frame._body_repr = _no_words  # type: ignore[method-assign]  # the library describes each for a log, all its bytes in hex
        return super()._receive_frame(frame)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]


def _no_words() -> str:
    return ""
