"""`kmstwist setup-client`: the commands that make a machine a KMS client."""

from __future__ import annotations

import click

from kmstwist.cli import completing
from kmstwist.cli.output import json_option, say_json

FORMS = ("cmd", "powershell", "ansible")


@click.command("setup-client")
@click.option(
    "--product",
    required=True,
    metavar="NAME",
    shell_complete=completing.products,
    help="The product, as `kmstwist keys` lists it.",
)
@click.option("--host", metavar="HOST[:PORT]", help="The KMS host (or gateway) to set by hand; port 1688 if left out.")
@click.option("--discover", is_flag=True, help="Let the client find its host through DNS instead.")
@click.option("--domain", metavar="D", help="With --discover: look in this DNS domain only.")
@click.option("--as", "form", type=click.Choice(FORMS), default="cmd", show_default=True, help="For which shell.")
@json_option
def setup_client(product: str, host: str | None, discover: bool, domain: str | None, form: str, as_json: bool) -> None:
    """Print the commands that make a machine a KMS client.

    They are the exact slmgr or ospp commands, in order. This command runs nothing: paste the lines on the Windows
    machine, as administrator.
    """
    from kmstwist.discovery.client import setup
    from kmstwist.discovery.lookup import dns_names
    from kmstwist.kms.catalogue import UnknownProduct, find

    if discover == (host is not None):
        raise click.UsageError("Give either --host HOST[:PORT], or --discover to let the client ask DNS.")
    if domain is not None and not discover:
        raise click.UsageError("--domain goes with --discover: a client with a host set by hand asks no DNS.")
    try:
        chosen = find(product)
        plan = setup.set_up(
            chosen,
            dns_names.host_port(host, dns_names.KMS_PORT) if host is not None else None,
            dns_names.domain(domain) if domain is not None else None,
        )
    except UnknownProduct as unknown:
        raise click.ClickException(f"{unknown}.".replace("?.", "?")) from None
    except (dns_names.NameInvalid, setup.SetupImpossible) as invalid:
        raise click.ClickException(str(invalid)) from None
    text = setup.FORMS[form](plan)
    if not as_json:
        click.echo(text)
        return
    say_json(
        {
            "product": chosen.name,
            "gvlk": chosen.gvlk,
            "threshold": chosen.threshold,
            "office_folder": plan.folder,
            "commands": [
                {"script": f"{each.script}.vbs", "arguments": list(each.arguments), "does": each.purpose}
                for each in plan.commands
            ],
            "as": form,
            "text": text,
        }
    )
