"""The certificates and the kubeconfigs of one test cluster, signed by a CA of its own. Valid for 30 days; a new cluster has new ones."""

import base64
import json
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kfn.clock import utcnow
from tests.cluster.layout import MAX_NODES, Layout

LIFETIME = timedelta(days=30)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


class Authority:
    """A CA whose files are `NAME.crt` and `NAME.key` in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.file = folder / f"{name}.crt"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"kfn test {name}")])
        own = self._builder(self.name, self.key.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        cert = own.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())
        _write(folder / f"{name}.key", _pem(self.key))
        _write(self.file, cert.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = utcnow()
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + LIFETIME)

    def issue(self, file: str, user: str, groups: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> None:
        """`file`.crt and .key for a client, and a server if it has names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        groups_of = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        builder = self._builder(x509.Name([*groups_of, x509.NameAttribute(NameOID.COMMON_NAME, user)]), key.public_key())
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        _write(self.folder / f"{file}.key", _pem(key))
        _write(self.folder / f"{file}.crt", builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write(cluster: Layout) -> None:
    """All keys, certificates and kubeconfigs, unless they are there."""
    folder = cluster.pki
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    ca = Authority(folder, "ca")
    Authority(folder, "front-ca").issue("front", "front-proxy-client")
    api = "kubernetes.default.svc.cluster.local"
    names = ("localhost", *(api.rsplit(".", cut)[0] for cut in range(4, 0, -1)), api)
    ca.issue("apiserver", "kube-apiserver", names=(*names, "127.0.0.1", cluster.node(1).ip, cluster.api_service))
    ca.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", ("system:masters",))
    users = {
        "admin": ("kubernetes-admin", ("system:masters",)),
        "kube-controller-manager": ("system:kube-controller-manager", ()),
        "kube-scheduler": ("system:kube-scheduler", ()),
        "kube-proxy": ("system:kube-proxy", ()),
        "coredns": ("system:coredns", ()),
    }
    for file, (user, groups) in users.items():
        ca.issue(file, user, groups)
        _write(folder / f"{file}.kubeconfig", kubeconfig(cluster, file))
    for node in (cluster.node(index) for index in range(1, MAX_NODES + 1)):  # for those that come later too
        ca.issue(f"kubelet-{node.index}", f"system:node:{node.name}", ("system:nodes",), (node.name, node.ip))
        _write(folder / f"kubelet-{node.index}.kubeconfig", kubeconfig(cluster, f"kubelet-{node.index}"))
    accounts = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "accounts.key", _pem(accounts))
    public = accounts.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(folder / "accounts.pub", public)
    _write(cluster.kubeconfig, kubeconfig(cluster, "admin"))
    (folder / "done").touch()


def kubeconfig(cluster: Layout, file: str) -> bytes:
    def data(name: str) -> str:
        return base64.b64encode((cluster.pki / name).read_bytes()).decode()

    name = f"kfn-{cluster.name}"
    server = {"server": cluster.api, "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data(f"{file}.crt"), "client-key-data": data(f"{file}.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": file, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": file}}],
        "current-context": name,
    }
    return json.dumps(config, indent=1).encode()  # YAML reads JSON
