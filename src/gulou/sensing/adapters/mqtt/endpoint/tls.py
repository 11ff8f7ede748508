"""The endpoint's side of TLS, with client certificates where they are wanted."""

from __future__ import annotations

import ssl

from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.mqtt.settings import MqttSettings


def make_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """Make the context of the TLS port; None where there is none.

    A client certificate of the authorities in ``tls_client_ca`` stands for the secret of the device that its common
    name names.

    Raises:
        Invalid: ``adapter.certificate_broken``.
    """
    if settings.tls_port is None or settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    file = settings.tls_certificate
    try:
        context.load_cert_chain(file, settings.tls_key)
        if settings.tls_client_ca is not None:
            file = settings.tls_client_ca
            context.load_verify_locations(file)
            context.verify_mode = ssl.CERT_REQUIRED if settings.tls_client_required else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise Invalid("adapter.certificate_broken", file=str(file), detail=str(error)) from error
    return context
