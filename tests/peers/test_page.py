"""The page of `spandrel view` in Chromium: of the demo's shop, at the widths it is made for."""

import re

import pytest
from playwright.sync_api import expect

from support.programs import Demo

REQUESTS = 240
"""How many the demo's shop is asked."""
SLOW = "#/traces?route=%2Forders&min=300ms"


@pytest.fixture(scope="module")
def shop(binary, tmp_path_factory):
    """The demo after its load, with its `calls` by caller and callee."""
    with Demo(binary, tmp_path_factory.mktemp("demo"), REQUESTS) as demo:
        demo.calls = demo.wait_for_load()
        yield demo


@pytest.fixture
def reader(browser, shop, size):
    """Somebody who reads of the shop."""
    with browser.open(shop.url, size) as reader:
        yield reader


def test_a_trace_is_opened_from_the_list(reader):
    reader.go("#/traces")
    row = reader.rows.first
    trace = row.get_attribute("data-trace")
    row.get_by_role("link").click()
    expect(reader.page).to_have_url(f"{reader.url}/#/trace/{trace}")
    expect(reader.find(".head .id")).to_have_text(trace)
    expect(reader.find(".spans .row").first).to_be_visible()
    reader.find(".back").click()
    expect(reader.rows.first).to_be_visible()


def test_the_bottleneck_is_followed_to_its_span(reader):
    reader.go(SLOW)
    reader.rows.first.get_by_role("link").click()
    expect(reader.find(".verdict h2")).to_contain_text("payment is the bottleneck")
    reader.button("Follow the bottleneck").click()
    expect(reader.current).to_have_attribute("aria-label", re.compile("^payment .* critical path"))
    expect(reader.current.locator(".critical").first).to_be_visible()
    expect(reader.find(".details h2 b")).to_have_text("payment")
    reader.sees(reader.current)


def test_a_bottleneck_in_a_closed_subtree_is_opened(reader):
    reader.go(SLOW)
    reader.rows.first.get_by_role("link").click()
    reader.button("close all").click()
    hidden = reader.find(".spans .row[aria-label^='payment ']")
    expect(hidden).to_have_count(0)
    reader.button("Follow the bottleneck").click()
    expect(hidden).to_have_class(re.compile("current"))


def test_a_tenant_is_a_lens_over_every_view(reader):
    reader.go("#/tenants")
    traces = reader.find("tr", has_text="acme").locator("[data-label=Traces]").inner_text()
    reader.page.get_by_role("link", name="acme").first.click()
    chip = reader.find("#lens")
    expect(chip).to_contain_text("acme")
    reader.find("nav.views").get_by_role("link", name="Traces").click()
    expect(reader.find(".found")).to_have_text(f"{traces} traces found")
    expect(reader.rows.locator(".of-tenant")).to_have_text(["acme"] * int(traces))
    reader.find("nav.views").get_by_role("link", name="Graph").click()
    fewer = reader.find("tr[data-key='gateway\\auser'] [data-label=Calls]")
    expect(fewer).not_to_have_text("")
    of_acme = int(fewer.inner_text())
    chip.get_by_role("button").click()
    expect(chip).to_be_hidden()
    expect(fewer).not_to_have_text(str(of_acme))
    assert int(fewer.inner_text()) > of_acme


def test_the_graph_shows_what_the_shop_counted(reader, shop):
    reader.go("#/graph")
    expect(reader.find("a.edge")).to_have_count(len(shop.calls))
    expect(reader.find(".cards tbody tr")).to_have_count(len(shop.calls))
    for (caller, callee), calls in shop.calls.items():
        line = reader.find(f".cards tr[data-key='{caller}\\a{callee}'] [data-label=Calls]")
        expect(line).to_have_text(str(calls))
        drawn = reader.find(f"a.edge[data-from={caller}][data-to={callee}]")
        says = re.compile(rf"^{caller} calls {callee}: {calls}\scalls, ")
        expect(drawn).to_have_attribute("aria-label", says)


def test_callers_stand_left_of_those_they_call(reader, shop):
    reader.go("#/graph")
    for caller, callee in shop.calls:
        boxes = [
            reader.find(f"a.node[data-service={name}]").bounding_box() for name in (caller, callee)
        ]
        assert boxes[0]["x"] + boxes[0]["width"] < boxes[1]["x"]


def test_a_call_leads_to_its_traces(reader):
    reader.go("#/graph")
    reader.find("a.edge[data-from=order][data-to=payment]").focus()
    reader.page.keyboard.press("Enter")
    expect(reader.find(".chip")).to_contain_text("order → payment")
    expect(reader.rows.first).to_be_visible()
    found = reader.rows
    expect(found.filter(has_text="payment")).to_have_count(found.count())
    expect(found.filter(has_text="order")).to_have_count(found.count())
    reader.button("clear all").click()
    expect(reader.rows.filter(has_not_text="payment").first).to_be_visible()


def test_a_point_of_the_plot_leads_to_its_trace(reader):
    reader.go(SLOW)
    expect(reader.rows.first).to_be_visible()
    oldest = reader.rows.last.get_attribute("data-trace")
    reader.find(".stage").focus()
    reader.page.keyboard.press("Home")
    expect(reader.find(".tip")).to_contain_text("POST /orders")
    reader.page.keyboard.press("Enter")
    expect(reader.page).to_have_url(f"{reader.url}/#/trace/{oldest}")


def test_errors_differ_from_others_in_shape(reader):
    reader.go("#/traces")
    failed = reader.find(".list tr.error").count()
    assert 0 < failed < reader.rows.count()
    expect(reader.find(".stage path.error")).to_have_count(failed)
    expect(reader.find(".stage circle.error")).to_have_count(0)


def test_the_theme_is_switched_and_remembered(reader):
    reader.go("#/traces")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = reader.page.evaluate(paper)
    button = reader.find("#theme")
    expect(button).to_have_text("Auto")
    button.click()
    expect(button).to_have_text("Light")
    assert reader.page.evaluate(paper) == light
    button.click()
    expect(button).to_have_text("Dark")
    dark = reader.page.evaluate(paper)
    assert dark != light
    reader.page.reload()
    expect(button).to_have_text("Dark")
    assert reader.page.evaluate(paper) == dark
    button.click()
    assert reader.page.evaluate(paper) == light
    reader.page.emulate_media(color_scheme="dark")
    assert reader.page.evaluate(paper) == dark


def test_a_browser_without_storage_shows_the_page_and_switches_the_theme(browser, shop):
    with browser.open(shop.url) as reader:
        refuse = (
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })"
        )
        reader.page.add_init_script(refuse)
        reader.go("#/traces")
        expect(reader.rows.first).to_be_visible()
        reader.find("#theme").click()
        expect(reader.find("html")).to_have_attribute("data-theme", "light")


def test_a_trace_is_read_with_the_keyboard_alone(reader):
    keyboard = reader.page.keyboard
    reader.go(SLOW)
    expect(reader.rows.first).to_be_visible()
    reader.page.keyboard.press("Tab")
    expect(reader.find("#skip")).to_be_focused()
    keyboard.press("Enter")
    expect(reader.find("#main")).to_be_focused()
    reader.tab_to(reader.rows.first.get_by_role("link"))
    keyboard.press("Enter")
    expect(reader.find(".spans .row").first).to_be_visible()
    reader.tab_to(reader.find(".spans"))
    spans = reader.find(".spans .row").count()
    keyboard.press("Home")
    expect(reader.current).to_have_attribute("aria-level", "1")
    keyboard.press("ArrowLeft")
    expect(reader.current).to_have_attribute("aria-expanded", "false")
    expect(reader.find(".spans .row")).to_have_count(1)
    keyboard.press("ArrowRight")
    expect(reader.find(".spans .row")).to_have_count(spans)
    keyboard.press("ArrowDown")
    expect(reader.current).to_have_attribute("aria-level", "2")
    active = reader.find(".spans").get_attribute("aria-activedescendant")
    expect(reader.current).to_have_id(active)
    keyboard.press("Enter")
    expect(reader.find(".details")).to_be_visible()
    keyboard.press("b")
    expect(reader.find(".details h2 b")).to_have_text("payment")
    keyboard.press("Escape")
    expect(reader.find(".details")).to_be_hidden()
    expect(reader.find(".spans")).to_be_focused()
    keyboard.press("?")
    expect(reader.find("dialog")).to_be_visible()
    keyboard.press("Escape")
    expect(reader.find("dialog")).to_be_hidden()


def test_the_books_of_every_sidecar_balance(reader, shop):
    reader.go("#/health")
    lines = reader.find(".cards tbody tr:not(.below)")
    expect(lines).to_have_count(5)
    expect(lines.locator("[data-label=Balance]")).to_have_text(["0 ✓"] * 5)
