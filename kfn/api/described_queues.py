"""What each field of the sources is for that read from message systems; `described.py` has the others."""

from kfn.api import kafkasource, natssource, secretvalue
from kfn.api.base import Base

FIELDS: dict[type[Base], dict[str, str]] = {
    secretvalue.SecretKeySelector: {"name": "The Secret; kfn-sources by default, the one that eventing may read.", "key": "The key in it."},
    secretvalue.SecretValue: {"secretKeyRef": "Where the value is."},
    secretvalue.TlsSpec: {
        "enable": "True: only over TLS.",
        "cert": "The client's certificate.",
        "key": "The private key of the client's certificate.",
        "caCert": "The authority of the servers' certificates; the system's by default.",
    },
    natssource.NatsAuth: {
        "user": "The user; goes with password.",
        "password": "The user's password.",
        "token": "A token.",
        "credentials": "A .creds file: a JWT and a seed.",
        "nkey": "The seed of an nkey.",
    },
    natssource.JetStreamSpec: {
        "stream": "The stream's name.",
        "durable": "The consumer's name; by default one of this very object.",
        "deliverPolicy": "Where a new consumer begins: all, new, last or lastPerSubject.",
    },
    kafkasource.SaslSpec: {
        "enable": "True: log in.",
        "user": "The user.",
        "password": "The user's password.",
        "type": "The mechanism: PLAIN by default, SCRAM-SHA-256 or SCRAM-SHA-512.",
    },
    kafkasource.NetSpec: {"sasl": "Who we are.", "tls": "TLS, and the client's certificate."},
    kafkasource.KafkaSourceSpec: {
        "consumers": "0 pauses it. Above that it has no effect: every replica of eventing is a member of the group.",
        "bootstrapServers": "Brokers, as host:port.",
        "net": "How the brokers are talked to.",
        "topics": "What is read.",
        "consumerGroup": "The consumer group; by default one of this very object.",
        "initialOffset": "Where a new group begins: latest (the default) or earliest.",
        "ordering": "ordered (the default): one record of a partition at a time; unordered: many.",
    },
    kafkasource.KafkaSourceStatus: {"consumers": "1 while it reads."},
    natssource.NatsSourceSpec: {
        "servers": "URLs of the servers, without credentials.",
        "subject": "What is read, such as orders.>.",
        "queueGroup": "The group that shares messages, for what is not in a stream.",
        "jetstream": "The stream to read from; without it, what nobody hears is lost.",
        "auth": "Who we are.",
        "tls": "TLS, and the client's certificate.",
        "eventType": "The type of events made of messages that are none.",
    },
}
