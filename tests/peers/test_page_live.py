"""The page while traces arrive, and while they do not: nothing moves under who reads."""

import re

import pytest
from playwright.sync_api import expect

from support.collector import HTTP
from support.made import Made, MadeTrace, order
from support.view import View


def test_new_traces_do_not_move_the_rows_under_a_reader_who_has_scrolled(browser, view, size):
    view.send(*(order(ago=300 - n) for n in range(60)))
    with browser.open(view.url, size) as reader:
        reader.go("#/traces")
        expect(reader.rows).to_have_count(60)
        reader.scroll_to(reader.rows.nth(20))
        before = reader.tops(reader.rows)
        news = [order(ago=3 - n) for n in range(3)]
        view.send(*news)
        fresh = reader.button("3 new traces – show")
        reader.sees(fresh)
        assert reader.tops(reader.rows) == before
        fresh.click()
        expect(reader.rows).to_have_count(63)
        expect(reader.rows.first).to_have_attribute("data-trace", news[-1].id)
        expect(fresh).to_be_hidden()


@pytest.mark.parametrize("hand", ["pointer", "focus", "selection"])
def test_new_traces_do_not_move_the_rows_that_are_in_hand(browser, view, hand):
    view.send(*(order(ago=300 - n) for n in range(5)))
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        row = reader.rows.first
        expect(row).to_be_visible()
        if hand == "pointer":
            row.hover()
        elif hand == "focus":
            row.get_by_role("link").focus()
        else:
            row.locator("time").evaluate("element => getSelection().selectAllChildren(element)")
        before = reader.tops(reader.rows)
        view.send(order())
        expect(reader.button("1 new trace – show")).to_be_visible()
        assert reader.tops(reader.rows) == before


def test_new_traces_are_shown_at_once_to_who_only_looks(browser, view):
    view.send(*(order(ago=300 - n) for n in range(5)))
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        expect(reader.rows).to_have_count(5)
        new = order()
        view.send(new)
        expect(reader.rows).to_have_count(6)
        expect(reader.rows.first).to_have_attribute("data-trace", new.id)


def test_the_way_back_leads_to_where_the_list_was(browser, view, size):
    view.send(*(order(ago=300 - n) for n in range(60)))
    with browser.open(view.url, size) as reader:
        reader.go("#/traces?service=web")
        expect(reader.rows).to_have_count(60)
        reader.scroll_to(reader.rows.nth(20))
        before = reader.tops(reader.rows)
        reader.rows.nth(23).get_by_role("link").click()
        expect(reader.find(".spans .row")).to_have_count(3)
        view.send(order())
        reader.find(".back").click()
        expect(reader.button("1 new trace – show")).to_be_visible()
        assert reader.tops(reader.rows) == before


def test_spans_that_arrive_late_join_an_open_trace_without_losing_the_place(browser, view, size):
    root = Made("web", "GET /orders", 0, 100, kind="SERVER")
    calls = [Made("web", f"call {n}", n, n + 2, root, kind="CLIENT") for n in range(1, 50)]
    trace = MadeTrace(root, *calls)
    view.send(trace)
    with browser.open(view.url, size) as reader:
        reader.go(f"#/trace/{trace.id}")
        chosen = reader.find(f"#span-{calls[20].id}")
        chosen.click()
        expect(reader.find(".details .name")).to_have_text("call 21")
        reader.page.get_by_label("Filter attributes").fill("service.name")
        reader.scroll_to(reader.find(f"#span-{calls[15].id}"))
        top = chosen.bounding_box()["y"]
        # They sort before the chosen one, and would push it down.
        others = [Made("stock", "GET /stock", 0.5, n, root, kind="SERVER") for n in range(60, 65)]
        view.send(trace.later(*others))
        expect(reader.find(".sum")).to_contain_text("55 spans")
        expect(chosen).to_have_class(re.compile("current"))
        assert abs(chosen.bounding_box()["y"] - top) <= 1
        expect(reader.page.get_by_label("Filter attributes")).to_have_value("service.name")
        expect(reader.find(".details .attributes dt")).to_have_text(["service.name"])


def test_a_server_that_is_gone_is_said_until_it_is_back(browser, binary, tmp_path):
    with browser.open("") as reader:
        with View(binary, tmp_path) as view:
            reader.url = view.url
            view.send(order())
            reader.go("#/traces")
            expect(reader.rows).to_have_count(1)
        expect(reader.find("#banner")).to_contain_text("No answer")
        expect(reader.rows).to_have_count(1)
        with View(binary, tmp_path, ports=view.ports):
            expect(reader.find("#banner")).to_be_hidden(timeout=30_000)
            expect(reader.find(".welcome")).to_be_visible()
        reader.page.goto("about:blank")
        reader.expect_refusal()


def test_a_page_without_traces_says_how_to_send_some(browser, view, size):
    with browser.open(view.url, size) as reader:
        reader.go("#/traces")
        expect(reader.find(".welcome")).to_contain_text(
            f"OTEL_EXPORTER_OTLP_ENDPOINT={view.endpoint(HTTP)}"
        )
        expect(reader.find(".welcome")).to_contain_text("spandrel run ")
        view.send(order())
        expect(reader.rows).to_have_count(1)
        expect(reader.find(".welcome")).to_be_hidden()


def test_a_trace_that_is_not_here_is_shown_when_it_arrives(browser, view):
    trace = order()
    with browser.open(view.url) as reader:
        reader.go(f"#/trace/{trace.id}")
        expect(reader.find("h1")).to_have_text("This trace is not here")
        view.send(trace)
        expect(reader.find(".spans .row")).to_have_count(3)
        reader.expect_refusal()
