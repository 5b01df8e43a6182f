"""What users of Knative's `func` do with an image that is there: create, deploy, invoke, list, describe, deploy again, delete."""

from tests.peers.knative import Command

NAME = "greeter"
TEMPLATES = [("python", "func.py"), ("go", "handle.go"), ("node", "index.js")]  # a language and a file of its template
# What the session's image runs. func asks /health/*, which kfn's function server answers itself.
SOURCE = "import os\ndef handle(request):\n    return os.environ.get('WORD', 'none') + ' ' + os.environ['K_REVISION']\n"


async def create(func: Command, language: str, file: str) -> None:
    """A project of func's own template."""
    made = await func("create", "--language", language, str(func.home / f"new-{language}"))
    assert f"Created {language} function" in made.out + made.err
    assert (func.home / f"new-{language}" / file).is_file()


async def whole_life(func: Command, image: str) -> None:
    """`image` has a digest, so func neither builds nor pushes."""
    project = func.home / NAME
    await func("create", "--language", "python", str(project))
    func.folder, func.named = project, (NAME,)
    try:
        deployed = await func("deploy", "--build=false", "--push=false", "--image", image)
        said = deployed.out + deployed.err
        assert "Function deployed in namespace" in said
        assert f"http://{func.host(NAME)}" in said
        assert await func.text(NAME) == f"none {NAME}-00001"

        invoked = await func("invoke", "--target", "remote")
        assert f"none {NAME}-00001" in invoked.out
        listed = (await func("list")).out.splitlines()
        assert listed[1].split()[:3] == [NAME, func.namespace, "python"]
        assert listed[1].split()[-1] == "True"
        described = (await func("describe", NAME)).out
        assert f"http://{func.host(NAME)}" in described

        await func("config", "envs", "add", "--name=WORD", "--value=hi")
        updated = await func("deploy", "--build=false", "--push=false", "--image", image)
        assert "Function updated in namespace" in updated.out + updated.err
        assert await func.text(NAME) == f"hi {NAME}-00002"

        await func("delete", NAME)
        assert NAME not in (await func("list")).out
    finally:
        func.folder = None


async def tag(func: Command, image: str) -> None:
    """An image by its tag."""
    project = func.home / "tagged"
    await func("create", "--language", "go", str(project))
    func.folder, func.named = project, ("tagged",)
    try:
        await func("deploy", "--build=false", "--push=false", "--image", image)
        assert await func.text("tagged") == "none tagged-00001"
        await func("delete", "tagged")
    finally:
        func.folder = None
