"""Help in sections: `kfn build` has more options than fit into one list. What each of them does is said where it is made."""

import click

# The options by name of their parameter, in the order of the help. What is not here stands first, under "Options".
SECTIONS = {
    "The image": ("tags", "platforms", "base", "binary", "builder", "extras", "timestamp", "git_annotations"),
    "Where it goes": ("push", "outputs", "store", "dry_run", "compared"),
    "What is told about it": ("sbom", "sbom_format", "attest", "sign", "sign_old"),
    "Source and dependencies": (
        "locked", "offline", "allow_sdists", "profile", "strict", "allow_secret_files", "git_http",
    ),
    "Cache": ("no_cache", "explain", "cache_bytes", "registry_cache", "registry_cache_write"),
    "Registries": ("compression", "plain_http", "registry_ca", "registry_auth"),
    "On the platform": ("remote", "detach", "timeout", "push_secret", "pull_secret", "index_secret", "git_secret"),
    "Which platform": ("namespace", "kubeconfig", "kube_context"),
}  # fmt: skip
_PLACES = {name: section for section, names in SECTIONS.items() for name in names}


class Command(click.Command):
    """A command whose help has its options in SECTIONS."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[int, tuple[str, str]]]] = {section: [] for section in ("Options", *SECTIONS)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or not isinstance(parameter, click.Option):
                continue
            name = parameter.name or ""
            section = _PLACES.get(name, "Options")
            place = SECTIONS[section].index(name) if name in _PLACES else 0
            rows[section].append((place, record))
        for section, found in rows.items():
            if len(found) == 1 and section == "Which platform":  # -n of kfn build, which asks no platform
                rows["Options"].insert(-1, found[0])
                found = []
            if found and section != "Options":
                with formatter.section(section):
                    formatter.write_dl([record for _, record in sorted(found, key=lambda one: one[0])])
        with formatter.section("Options"):
            formatter.write_dl([record for _, record in rows["Options"]])
