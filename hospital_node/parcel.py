"""A message of Flower's in pieces, as it travels: its head, its tree, and its objects as bytes.

The node hands a question from the SuperLink to the process that answers it, and the answer back,
without opening either. Between the two processes a parcel is a row of frames, each with its length.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Self

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from gdshare.messages import ANSWER_RECORD, Reason, refusal

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Parcel:
    """A message in pieces.

    Attributes:
        head: the message without its content.
        tree: the ids of its objects, the message itself at the root.
        objects: id -> bytes.
    """

    head: ProtoMessage
    tree: ObjectTree
    objects: Mapping[str, bytes]

    def frames(self) -> list[bytes]:
        """The pieces in a row."""
        pieces = [
            piece for name, content in self.objects.items() for piece in (_name(name), content)
        ]
        return [self.head.SerializeToString(), self.tree.SerializeToString(), *pieces]

    @classmethod
    def from_frames(cls, frames: Sequence[bytes]) -> Self:
        """Put ``frames`` together again."""
        head, tree, *pieces = frames
        names = [name.decode() for name in pieces[::2]]
        objects = dict(zip(names, pieces[1::2], strict=True))
        return cls(ProtoMessage.FromString(head), ObjectTree.FromString(tree), objects)


def _name(name: str) -> bytes:
    return name.encode()


def packed(message: Message) -> Parcel:
    """Take a message apart."""
    message.metadata.__dict__["_message_id"] = message.object_id
    head = message_to_proto(remove_content_from_message(message))
    objects = get_all_nested_objects(message)
    contents = {name: item.deflate() for name, item in objects.items()}
    return Parcel(head, get_object_tree(message), contents)


def unpacked(parcel: Parcel) -> Message:
    """Put a message together; a stranger's may raise anything."""
    root = parcel.tree.object_id
    message = inflate_object_from_contents(root, dict(parcel.objects))
    if not isinstance(message, Message):
        raise TypeError(f"the question is a {type(message).__name__} and not a message")
    message.metadata.__dict__["_message_id"] = root
    return message


def refused(head: ProtoMessage, reason: Reason) -> Parcel:
    """The answer to a question that is refused, of which nothing but the head is read."""
    content = RecordDict({ANSWER_RECORD: ConfigRecord(dict(refusal(reason)))})
    return packed(Message(content, reply_to=message_from_proto(head)))


def write_frames(stream: BinaryIO, frames: Sequence[bytes]) -> None:
    """Write each frame after its length."""
    for frame in frames:
        stream.write(LENGTH.pack(len(frame)))
        stream.write(frame)
    stream.flush()


def read_frames(stream: BinaryIO) -> list[bytes]:
    """Read frames to the end of the stream, as ``iter_frames``."""
    return list(iter_frames(stream))


def iter_frames(stream: BinaryIO, most: int = 1 << 62) -> Iterator[bytes]:
    """Read frames as they come, to the end of the stream.

    Args:
        stream: of ``write_frames``.
        most: bytes of all frames together.

    Raises:
        EOFError: the stream ends within a frame.
        ValueError: more than ``most``; what is too much is not read.
    """
    while head := stream.read(LENGTH.size):
        length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
        most -= length
        if most < 0:
            raise ValueError("more than the bounds")
        frame = stream.read(length)
        if len(head) < LENGTH.size or len(frame) < length:
            raise EOFError("cut short")
        yield frame
