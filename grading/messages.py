"""Talks with a kernel that cannot be trusted: requests go out, and of what comes back only sound messages are passed on."""

import time

import zmq
from jupyter_client.blocking import BlockingKernelClient

PART = 64 * 2**20  # bytes of one part of a message; who sends a larger one loses the connection
LARGEST = 8 * 2**20  # bytes of a message that is read: in memory, such text may take 40 times as much
QUEUE = 16  # messages that wait to be read, of each kind
AT_ONCE = 100  # messages handed on before the caller looks at the clock again,
LONGEST = 0.5  # or seconds
TOO_LARGE = object()


class Messages:
    """The client's side of a kernel. connection: what jupyter_client wrote into the kernel's connection file."""

    def __init__(self, connection):
        # The options go to every socket of this context: without them a kernel fills the memory of whoever listens.
        self._context = zmq.Context()
        self._context.setsockopt(zmq.MAXMSGSIZE, PART)
        self._context.setsockopt(zmq.RCVHWM, QUEUE)
        self._context.setsockopt(zmq.LINGER, 0)
        self._client = BlockingKernelClient(context=self._context)
        self._client.load_connection_info(connection)
        self._client.start_channels(stdin=False, hb=False)
        self._channels = {"shell": self._client.shell_channel, "iopub": self._client.iopub_channel}
        self._poller = zmq.Poller()
        for channel in self._channels.values():
            self._poller.register(channel.socket, zmq.POLLIN)

    def close(self):
        self._client.stop_channels()
        self._context.destroy(linger=0)

    def ask_whether_ready(self):
        """Send the question that a kernel answers on both channels as soon as it can work; returns the question's id."""
        return self._client.kernel_info()

    def execute(self, source, quiet, expressions):
        """Send a cell; returns the request's id."""
        return self._client.execute(source, silent=quiet, user_expressions=expressions, allow_stdin=False, stop_on_error=False)

    def interrupt(self):
        """Ask the kernel to interrupt its cell. A signal would have to find its way into the sandbox."""
        self._client.control_channel.send(self._client.session.msg("interrupt_request", content={}))

    def answers(self, requests, seconds):
        """The messages that answer one of these requests, as (channel, message); waits for the first at most `seconds`.

        The message is None for one that is too large to be read, whatever it answers.
        """
        found = []
        ready = dict(self._poller.poll(seconds * 1000))
        for name, channel in self._channels.items():
            if channel.socket not in ready:
                continue
            end = time.monotonic() + LONGEST
            for _ in range(AT_ONCE):
                if not channel.socket.poll(0) or time.monotonic() > end:
                    break
                message = _received(channel)
                if message is TOO_LARGE:
                    found.append((name, None))
                elif message is not None and message["parent_header"].get("msg_id") in requests:
                    found.append((name, message))
        return found


def _received(channel):
    """One message, None for what is none: wrongly signed, wrongly built, or too deep to be read."""
    try:
        parts = channel.session.feed_identities(channel.socket.recv_multipart(zmq.NOBLOCK))[1]
        if sum(map(len, parts)) > LARGEST:
            return TOO_LARGE
        message = channel.session.deserialize(parts)
        sound = all(isinstance(message[part], dict) for part in ("header", "parent_header", "content"))
        return message if sound and isinstance(message["msg_type"], str) else None
    except Exception:  # a kernel can send anything, and any error that it causes says only that this is no message
        return None
