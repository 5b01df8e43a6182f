"""How kfn checks the API server's certificate."""

import ssl

from kfn.kube.config import Config
from kfn.kube.http import _tls


class TestTheCertificateOfAnApiServer:
    def test_may_lack_a_key_identifier_as_for_kubectl_and_is_checked_otherwise(self) -> None:
        context = _tls(Config("https://10.0.0.1:6443"))
        assert isinstance(context, ssl.SSLContext)
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
