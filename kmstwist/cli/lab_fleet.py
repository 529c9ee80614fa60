import click
@click.group()
def fleet(): "x"
