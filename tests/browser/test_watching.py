"""One job as it is being learned: what the page makes of the statuses that a driver writes."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import press, violations
from tests.browser.conftest import OpenPage, shot
from tests.browser.in_process import submit
from tests.guess.sharing import shared_enough
from tests.services.job_tools import FLEET, report
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.guess_order import NAME, read_order
from textinv.jobs.guess_submission import submit_guess
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
MANY, PART = 130, 100
CURVE = tuple((step, 0.1 + 0.2 * 0.97**step) for step in range(0, 100, 5))
RUNNING: dict[str, Any] = {"step": 45, "max_steps": 250, "loss": 0.12, "elapsed_s": 12.0, "curve": CURVE[:9]}


@pytest.fixture(scope="module")
def job(service: str, store: MemoryStore) -> JobRecord:
    return submit(service, store, "young-fox", "young-owl", job="two young ones")


def test_pictures_previews_and_the_curve_are_shown_and_follow_what_happens(
    service: str, store: MemoryStore, job: JobRecord, open_page: OpenPage
) -> None:
    report(store, job, **RUNNING)
    page = open_page(f"{service}/#/jobs/{job.id}")
    learning = page.get_by_role("article").filter(has_text="<young-fox>")
    expect(learning.get_by_text("Step 45 of at most 250")).to_be_visible()
    expect(learning.get_by_role("img", name=re.compile("Training picture"))).to_have_count(3)
    expect(learning.get_by_role("img", name=re.compile("Loss of young-fox"))).to_be_visible()
    report(store, job, **{**RUNNING, "step": 55, "loss": 0.115, "curve": CURVE[:12], "previews": (50,)})
    expect(learning.get_by_text("Step 55 of at most 250")).to_be_visible()
    expect(learning.get_by_role("img", name="Preview at step 50")).to_be_visible()
    assert violations(page) == []
    shot(page, "watch-1400")
    report(store, job, **{**RUNNING, "step": 95, "curve": CURVE, "stopped": "converged"})
    expect(learning.get_by_text("Now it is drawn and scored.")).to_be_visible()
    done = {"state": "done", "step": 95, "max_steps": 250, "stopped": "converged", "version": 1, "curve": CURVE}
    status = {"concept_state": done.pop("state"), **done, "previews": (50,)}
    report(store, job, **status)
    expect(learning.get_by_text("Stopped at step 95:")).to_be_visible()
    expect(learning.get_by_role("img", name=re.compile("Loss of young-fox"))).to_contain_text("stopped at step 95")
    expect(learning.get_by_role("link", name="Try it")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])
def test_a_job_with_a_failure_fits_and_keeps_nobody_out(
    service: str, store: MemoryStore, job: JobRecord, open_page: OpenPage, width: int, scheme: str
) -> None:
    report(
        store,
        job,
        concept_state="failed",
        problem="out_of_memory: not even one slot fits: 7.2 GiB are needed, 6 are free",
        step=45,
        curve=CURVE[:9],
    )
    page = open_page(f"{service}/#/jobs/{job.id}", width, scheme)
    expect(page.get_by_text("not even one slot fits")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"job-{width}-{scheme}")


def test_a_job_is_cancelled_by_keyboard(service: str, store: MemoryStore, job: JobRecord, open_page: OpenPage) -> None:
    report(store, job, **RUNNING)
    page = open_page(f"{service}/#/jobs/{job.id}")
    press(page, page.get_by_role("button", name="Cancel job"))
    expect(page.get_by_role("dialog", name="Cancel this job?")).to_be_visible()
    page.keyboard.press("Escape")
    press(page, page.get_by_role("button", name="Cancel job"))
    with page.expect_response(f"**/v1/jobs/{job.id}/cancel") as answer:
        press(page, page.get_by_role("button", name="Cancel, keep the best so far"))
    assert answer.value.status == 200


def test_a_job_that_nobody_knows_says_so(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/jobs/none-0000000000")
    expect(page.get_by_role("alert")).to_contain_text("none-0000000000")


@pytest.mark.parametrize("width", [1400, 400])
def test_a_large_job_is_shown_a_part_at_a_time(
    service: str, store: MemoryStore, open_page: OpenPage, width: int
) -> None:
    names = [f"crowd-{number:03d}" for number in range(MANY)]
    large = submit(service, store, *names, job=f"a crowd at {width}")
    report(store, large, num_waiting=MANY, **RUNNING)
    page = open_page(f"{service}/#/jobs/{large.id}", width)
    concepts = page.get_by_role("article")
    more = page.get_by_role("button", name="More")
    expect(concepts).to_have_count(PART)
    expect(page.get_by_text(f"{PART} of {MANY} concepts are shown.")).to_be_visible()
    more.press("Enter")
    expect(concepts).to_have_count(MANY)
    expect(more).to_have_count(0)
    report(store, large, num_waiting=MANY, **{**RUNNING, "step": 55, "curve": CURVE[:12]})
    expect(page.get_by_text("Step 55 of at most 250")).to_be_visible()  # what is told goes on, and hides nothing
    headings = concepts.get_by_role("heading", level=2).all_inner_texts()
    assert headings == [f"<{name}>" for name in names]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"job-large-{width}", whole=False)


def test_a_guess_that_is_trained_is_followed_to_what_became_of_it(
    service: str, store: MemoryStore, model: BaseModel, open_page: OpenPage
) -> None:
    shared_enough(store, model.revision)
    job = submit_guess(Registry(store), "emoji", model.revision, steps=9, fleet=FLEET).record
    fingerprint = read_order(store, job.id).fingerprint

    def tell(state: str, **fields: Any) -> None:
        guess = ConceptStatus(name=NAME, fingerprint=fingerprint, state=state, max_steps=9, curve=CURVE[:2], **fields)
        status = JobStatus(job_id=job.id, name=job.name, generation=1, state=state, concepts=(guess,))
        JobStore(store).write_status(status.model_copy(update={state: 1}))

    tell("running", step=4, loss=0.5)
    page = open_page(f"{service}/#/jobs")
    page.get_by_role("link", name="guess for emoji").click()
    expect(page.get_by_text("Step 4 of at most 9; loss 0.5")).to_be_visible()
    press(page, page.get_by_role("button", name="Cancel job"))
    expect(page.get_by_text("The guess is not published")).to_be_visible()
    press(page, page.get_by_role("button", name="Go on learning"))
    assert violations(page) == []
    tell("failed", step=9, problem="invalid_input: it is no better than words")
    expect(page.get_by_text("it is no better than words", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Go on", exact=True)).to_be_visible()
    assert violations(page) == []
    shot(page, "guess-1400")
