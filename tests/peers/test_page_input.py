"""The page with what others write: names, clocks and sizes of spans, filters, pasted ids."""

from playwright.sync_api import expect

from support.made import Made, MadeTrace, order

HOSTILE = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(2)</script>"


def test_names_with_markup_in_them_are_text(browser, view, size):
    root = Made(HOSTILE, f"GET {HOSTILE}", 0, 80, kind="SERVER", error=SCRIPT, events={HOSTILE: 5})
    root.attributes = {
        HOSTILE: HOSTILE,
        "__proto__": "a",
        "tenant.id": SCRIPT,
        "http.route": HOSTILE,
    }
    root.links = [("ab" * 16, "cd" * 8)]
    long = Made("a" * 300, "n" * 1_000, 1, 2, root, kind="CLIENT")
    below = Made("'\"><svg onload=alert(3)>", "javascript:alert(4)", 3, 70, root, kind="PRODUCER")
    trace = MadeTrace(root, long, below)
    view.send(trace)
    with browser.open(view.url, size) as reader:
        for hash in (
            "#/traces",
            "#/graph",
            "#/tenants",
            "#/health",
            f"#/trace/{trace.id}?span={root.id}",
        ):
            reader.go(hash)
            reader.page.wait_for_load_state("networkidle")
            reader.check()
        expect(reader.find("h1")).to_have_text(f"{HOSTILE} GET {HOSTILE}")
        expect(reader.find(".details .attributes dt", has_text=HOSTILE).first).to_be_visible()
        expect(reader.find(".details .bad")).to_have_text(f"✕ {SCRIPT}")
        expect(reader.find("main img, main script, main svg[onload], main b b")).to_have_count(0)


def test_parameters_with_markup_in_them_are_text(browser, view):
    view.send(order())
    with browser.open(view.url) as reader:
        reader.go(
            "#/traces?service=%3Cimg%20src=x%20onerror=alert(1)%3E&attribute=%3Cb%3E&tenant=%3Ci%3E"
        )
        expect(reader.find(".nothing")).to_contain_text("No trace that is kept matches")
        expect(reader.find(".chip")).to_contain_text("<b>")
        expect(reader.find("#lens")).to_contain_text("<i>")


def test_clocks_that_differ_are_said_and_can_be_seen_as_recorded(browser, view, size):
    root = Made("web", "GET /", 0, 50, kind="SERVER")
    call = Made("web", "GET", 5, 45, root, kind="CLIENT")
    ahead = Made("user", "GET /", 5_010, 5_040, call, kind="SERVER")
    trace = MadeTrace(root, call, ahead, ago=10)
    view.send(trace)
    with browser.open(view.url, size) as reader:
        reader.go(f"#/trace/{trace.id}")
        expect(reader.find(".clocks li")).to_contain_text(
            "user has a clock 5 s ahead of that of web"
        )
        bar = reader.find(f"#span-{ahead.id} .bar")
        aligned = bar.bounding_box()["width"]
        expect(reader.find(f"#span-{ahead.id} .mark")).to_have_text("clock off")
        reader.page.get_by_text("as recorded").click()
        expect(reader.find(".ruler")).to_contain_text("4 s")
        recorded, line = bar.bounding_box(), bar.locator("..").bounding_box()
        assert recorded["width"] < aligned / 10
        assert recorded["x"] > line["x"] + line["width"] * 0.9
        reader.page.get_by_text("clocks aligned").click()
        expect(reader.find(".ruler")).not_to_contain_text("4 s")
        assert abs(bar.bounding_box()["width"] - aligned) < 1


def test_a_trace_of_thousands_of_spans_has_few_elements(browser, view, size):
    root = Made("web", "GET /report", 0, 4_000, kind="SERVER")
    calls = [Made("web", f"call {n}", n, n + 0.9, root, kind="CLIENT") for n in range(1, 4_000)]
    trace = MadeTrace(root, *calls)
    view.send(trace)
    with browser.open(view.url, size) as reader:
        reader.go(f"#/trace/{trace.id}")
        expect(reader.find(".sum")).to_contain_text("4,000 spans")
        reader.find(".spans").focus()
        reader.page.keyboard.press("End")
        expect(reader.current).to_contain_text("call 3999")
        reader.sees(reader.current)
        assert reader.find(".spans .row").count() < 100


def test_filters_narrow_the_list_and_are_in_the_address(browser, view):
    slow = order(ago=5, length=700)
    failed = order(ago=4, error="no", attributes={"http.route": "/orders", "sku": "a=b"})
    view.send(order(), slow, failed)
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        expect(reader.rows).to_have_count(3)
        reader.page.get_by_label("At least").fill("0.5 s")
        reader.page.keyboard.press("Enter")
        expect(reader.rows).to_have_count(1)
        expect(reader.rows).to_have_attribute("data-trace", slow.id)
        reader.page.reload()
        expect(reader.rows).to_have_count(1)
        reader.button("clear all").click()
        expect(reader.rows).to_have_count(3)
        for label, value in [("Status", "error"), ("Route", "/orders")]:
            reader.page.get_by_label(label).select_option(value)
            expect(reader.rows).to_have_count(1)
            expect(reader.rows).to_have_attribute("data-trace", failed.id)
            reader.button("clear all").click()
            expect(reader.rows).to_have_count(3)
        reader.page.get_by_label("Attribute").fill("sku=a=b")
        reader.page.keyboard.press("Enter")
        expect(reader.rows).to_have_count(1)
        expect(reader.rows).to_have_attribute("data-trace", failed.id)


def test_a_time_that_is_none_is_not_asked_for_and_one_in_a_link_is_complained_of(browser, view):
    view.send(order())
    with browser.open(view.url) as reader:
        reader.go("#/traces?min=soon")
        expect(reader.find(".complaint")).to_contain_text("soon")
        reader.expect_refusal()
        reader.page.get_by_label("At least").fill("later")
        reader.page.keyboard.press("Enter")
        expect(reader.page).to_have_url(f"{view.url}/#/traces?min=soon")
        reader.page.get_by_label("At least").fill("1ms")
        reader.page.keyboard.press("Enter")
        expect(reader.rows).to_have_count(1)
        expect(reader.find(".complaint")).to_be_hidden()


def test_an_id_that_is_pasted_opens_its_trace(browser, view):
    trace = order()
    view.send(trace, order())
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        reader.page.get_by_label("Trace id").fill(f" {trace.id.upper()} ")
        expect(reader.find(".head .id")).to_have_text(trace.id)
        reader.go("#/health")
        header = f"00-{trace.id}-{trace.spans[2].id}-01"
        reader.page.evaluate("text => navigator.clipboard.writeText(text)", header)
        reader.page.keyboard.press("Control+v")
        expect(reader.current).to_have_attribute("data-span", trace.spans[2].id)


def test_ids_and_commands_are_copied(browser, view):
    trace = order()
    view.send(trace)
    with browser.open(view.url) as reader:
        reader.go(f"#/trace/{trace.id}")
        command = f"curl '{view.url}/api/traces/{trace.id}'"
        for name, wanted in [("trace id", trace.id), ("command that fetches", command)]:
            button = reader.find(f"button[title*='{name}']")
            button.click()
            expect(button).to_have_text("copied")
            assert reader.page.evaluate("navigator.clipboard.readText()") == wanted
        with reader.page.expect_download() as download:
            reader.page.get_by_role("link", name="OTLP JSON").click()
        assert download.value.suggested_filename == f"{trace.id}.otlp.json"


def test_a_request_to_another_host_a_complaint_and_a_dialog_are_noticed(browser, view):
    view.send(order())
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        reader.page.evaluate("console.error('a complaint')")
        assert reader.complaints.pop() == "a complaint"
        reader.page.evaluate("alert('a dialog')")
        assert reader.complaints.pop() == "a dialog says a dialog"
        reader.page.goto(view.url.replace("127.0.0.1", "localhost"))
        assert reader.strangers and all("//localhost:" in asked for asked in reader.strangers)
        reader.strangers.clear()
        reader.page.goto("about:blank")


def test_the_page_may_not_ask_other_hosts_nor_run_what_is_written_in_it(browser, view):
    view.send(order())
    with browser.open(view.url) as reader:
        reader.go("#/traces")
        other = view.url.replace("127.0.0.1", "localhost")
        refused = reader.page.evaluate("url => fetch(url).then(() => false, () => true)", other)
        assert refused
        reader.page.evaluate("""() => {
            const script = document.createElement("script");
            script.text = "window.ran = true";
            document.body.append(script);
        }""")
        assert reader.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in text for text in reader.complaints)
        reader.complaints.clear()
        reader.strangers.clear()
