"""The files of a deployment: alert rules, dashboard, compose file and image name only what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import typer
import yaml

from redis_sessions._durations import milliseconds
from redis_sessions.cli.commands import app
from redis_sessions.prometheus import METRICS
from tests.support.prose import ROOT

DEPLOY = ROOT / "deploy"
EXPORTED = {one.exported: set(one.labels) for one in METRICS} | {"up": {"job", "instance"}}
GUIDE = ROOT / "docs/guides/monitoring.md"


def alerts() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    """Return the dashboard of Grafana."""
    found: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/redis-sessions.json").read_text())
    return found


def compose() -> dict[str, Any]:
    """Return the compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def expressions() -> list[str]:
    """Return all expressions of rules and panels, with the variables of Grafana filled in."""
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [rule["expr"] for rule in alerts()] + [
        expr.replace("$__rate_interval", "1m").replace("$agent", ".*") for expr in panels
    ]


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics of a parsed expression, each with the labels that it is selected by."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name or "", {one.name for one in node.matchers.matchers}
        return
    for name in ("lhs", "rhs", "expr", "vector_selector", "args", "param"):
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if one is not None and not isinstance(one, str):
                yield from selectors(one)


@pytest.mark.parametrize("expression", expressions())
def test_expression_names_exported_metrics_and_labels(expression: str) -> None:
    """Each expression is PromQL, and each metric and label of it is exported."""
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for name, labels in found:
        assert labels <= EXPORTED[name], name
    for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", expression):
        assert set(grouped.split(", ")) - {"job", "instance"} <= {
            label for name, _ in found for label in EXPORTED[name]
        }


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_alert_tells_fleets_apart(rule: dict[str, Any]) -> None:
    """One Prometheus scrapes the exporters of many fleets, whose agents can have the same names."""
    for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"]):
        assert {"job", "instance"} <= set(grouped.split(", "))


def test_alert_that_names_unknown_metric_would_be_found() -> None:
    """The check of the expressions sees every selector, also inside of functions and both sides of an operator."""
    text = 'sum by (a) (rate(x_total{b="1"}[5m])) / on (a) max(y) > 1 unless absent(z)'
    assert [name for name, _ in selectors(promql_parser.parse(text))] == ["x_total", "y", "z"]


def test_alerts_have_severity_summary_and_runbook() -> None:
    """Each alert says what is wrong, how urgent that is, and which section of the guide says what to do."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in GUIDE.read_text().splitlines()
        if line.startswith("### ")
    }
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert milliseconds(rule.get("for", "1s"), "for") > 0
        assert rule["annotations"]["summary"].endswith(".")
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "https://redis-sessions.github.io/redis-sessions/guides/monitoring/"
        assert anchor in anchors, rule["alert"]
        labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert labels <= {"agent", "address"}


def test_each_alert_is_planned_with_planted_metrics() -> None:
    """The unit tests of the rules name each alert among those that fire, so that a new one needs a case."""
    text = (DEPLOY / "prometheus/alerts_test.yml").read_text()
    planned = set(re.findall(r'alertname="(\w+)"', text))
    assert planned == {rule["alert"] for rule in alerts()}
    assert yaml.safe_load(text)["rule_files"] == ["alerts.yml"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH: it is a part of Prometheus")
def test_alerts_fire_as_planned() -> None:
    """Each expression gives what the unit tests of the rules plan for planted metrics, by Prometheus itself."""
    command = ["promtool", "test", "rules", str(DEPLOY / "prometheus/alerts_test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_shows_each_metric_in_panels_that_do_not_overlap() -> None:
    """Every exported metric is in a panel, and the panels have titles, IDs and places of their own."""
    board = dashboard()
    shown = {name for one in expressions() for name, _ in selectors(promql_parser.parse(one))}
    assert EXPORTED.keys() - shown == {"redis_sessions_complete"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert panel["title"]
        assert not own & cells
        assert place["x"] + place["w"] <= 24
        cells |= own
    names = {one["name"] for one in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) <= names | {"__rate_interval"}


def test_provisioning_points_at_the_mounted_files() -> None:
    """Prometheus loads the rules and scrapes the exporter, and Grafana finds data source and dashboard."""
    services = compose()["services"]
    settings = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    targets = [
        target for job in settings["scrape_configs"] for one in job["static_configs"] for target in one["targets"]
    ]
    mounted = {one.split(":")[1] for one in services["prometheus"]["volumes"]}
    assert targets == ["metrics:9464"]
    assert services["metrics"]["command"][-1].endswith(":9464")
    assert set(settings["rule_files"]) <= mounted
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/redis-sessions.yml").read_text())["providers"][
        0
    ]
    assert provider["options"]["path"] in {one.split(":")[1] for one in services["grafana"]["volumes"]}


def test_compose_file_names_only_what_exists() -> None:
    """Files, volumes, services, images with versions, and commands of the compose file exist."""
    found = compose()
    commands: Any = typer.main.get_command(app)
    monitoring = {name: one for name, one in found["services"].items() if "monitoring" in one.get("profiles", ())}
    assert monitoring.keys() == {"dashboard", "metrics", "prometheus", "grafana"}
    for name, service in found["services"].items():
        assert set(service.get("depends_on", ())) <= found["services"].keys(), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in found["volumes"], volume
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).exists()
            check_command(commands, service["command"])
        else:
            assert re.search(r":v?\d+\.\d+(\.\d+)?$", service["image"]), name


def check_command(commands: Any, words: list[str]) -> None:
    """Check that the command line takes a command with these options."""
    name, *arguments = words
    command = commands.commands[name]
    context = command.make_context(name, list(arguments))
    assert context.params["listen"].startswith("0.0.0.0:")


def test_image_installs_the_package_with_the_extras_of_its_commands() -> None:
    """The Dockerfile copies what the build needs, and installs extras that the package has."""
    text = (DEPLOY / "Dockerfile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    extras = re.findall(r"\.\[([a-z,]+)\]", text)[0].split(",")
    assert {"cli", "metrics", "dashboard", "otel"} <= set(extras)
    for extra in extras:
        assert f"\n{extra} = [" in project, extra
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
    for needed in ("pyproject.toml", "README.md", "LICENSE", "redis_sessions", "lua"):
        assert needed in text
    assert "USER sessions" in text


def test_sdist_has_the_files_of_the_deployment() -> None:
    """The source distribution has the folder, because the guide points at it."""
    assert '"/deploy"' in (ROOT / "pyproject.toml").read_text()
    assert Path(DEPLOY / "grafana/dashboards/redis-sessions.json").is_file()
