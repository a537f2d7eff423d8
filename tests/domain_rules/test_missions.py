"""What people and agents may do to a mission, and what follows."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.board import Stage
from domain.mission import (
    ASSIGNEES_MAX,
    DEPENDENCIES_MAX,
    FAILURES_UNTIL_BLOCKED,
    AlreadyBlocked,
    Card,
    Content,
    DependencyNotFound,
    DependsOnItself,
    LeaseLost,
    LeaseTokenMissing,
    Mission,
    MissionDeleted,
    NotBlocked,
    NotClaimable,
    NotInReview,
    OwnWork,
    Place,
    Priority,
    TooMany,
    Worker,
)

WORKSPACE, BOARD, OTHER_BOARD, MISSION, OTHER_MISSION = (UUID(int=n) for n in range(1, 6))
AUTHOR, PERSON, AGENT, OTHER_AGENT = (UUID(int=n) for n in range(11, 15))
TTL_S = 60
FIRST_TOKEN = 2
"""The version of `claimed` where it is the first event after `created`."""

PLACES = {
    stage: Place(BOARD, UUID(int=100 + number), stage, "V1") for number, stage in enumerate(Stage)
}
BACKLOG, READY, ACTIVE, REVIEW, DONE = PLACES.values()
CONTENT = Content("Paint the shed", required_capabilities=("painting",))


def elsewhere(place):
    return Place(OTHER_BOARD, UUID(int=place.column_id.int + 100), place.stage, place.rank)


def beside(place):
    """Return a place in another column of the same stage and board."""
    return replace(place, column_id=UUID(int=place.column_id.int + 200))


def created_at(place, assignees=(), content=CONTENT):
    return lambda: Mission.create(MISSION, WORKSPACE, place, content, assignees, AUTHOR)


def claimed_by(agent_id):
    worker = Worker(agent_id, frozenset({"painting", "sanding"}))
    return lambda mission: mission.claim(worker, TTL_S, ACTIVE)


created = created_at(READY)
claimed = claimed_by(AGENT)


def progressed(mission):
    mission.progress(AGENT, mission.lease_token, 40, None)


def released(mission):
    mission.release(AGENT, mission.lease_token, READY)


def submitted(mission):
    mission.submit(AGENT, mission.lease_token, "painted", REVIEW)


def failed(mission):
    mission.fail(AGENT, mission.lease_token, "no paint", READY)


def expired(mission):
    mission.expire_lease(mission.lease_token, READY)


def rejected(mission):
    mission.reject(PERSON, "one wall is missing", READY)


def approved(mission):
    mission.approve(PERSON, DONE)


def blocked(mission):
    mission.block("it rains")


def unblocked(mission):
    mission.unblock()


def deleted(mission):
    mission.delete()


def moved_to(place):
    return lambda mission: mission.move(place, PERSON)


def assigned_to(assignee_id):
    return lambda mission: mission.assign(assignee_id, READY)


def waits(mission):
    mission.add_dependency(OTHER_MISSION, met=False)


def told_met(mission):
    mission.note_dependency(OTHER_MISSION, met=True)


# Created


def test_a_created_mission_says_where_it_stands_and_what_it_is(given):
    mission = given(created_at(BACKLOG, assignees=(PERSON,))).log[0]
    assert type(mission) is Mission.Created
    assert (mission.board_id, mission.column_id) == (BACKLOG.board_id, BACKLOG.column_id)
    assert (mission.stage, mission.rank) == (BACKLOG.stage, BACKLOG.rank)
    assert (mission.content, mission.assignees, mission.created_by) == (CONTENT, (PERSON,), AUTHOR)


def test_a_mission_cannot_be_created_with_more_assignees_than_it_may_have():
    everybody = tuple(UUID(int=n) for n in range(ASSIGNEES_MAX + 1))
    with pytest.raises(TooMany) as refusal:
        created_at(READY, assignees=everybody)()
    assert refusal.value.field == "assignees"
    assert created_at(READY, assignees=everybody[1:])().assignees == everybody[1:]


@pytest.mark.parametrize("stage", Stage)
def test_a_mission_is_complete_from_the_start_only_where_it_is_created_in_done(stage):
    assert created_at(PLACES[stage])().completed == (stage == Stage.DONE)


# Edited


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "Paint the barn"),
        ("description", "Both sides."),
        ("priority", Priority.URGENT),
        ("labels", ("outside",)),
        ("due", datetime(2032, 1, 1, tzinfo=UTC)),
        ("required_capabilities", ()),
    ],
)
def test_an_edit_names_the_one_field_that_it_changed(given, field, value):
    content = replace(CONTENT, **{field: value})
    decision = given(created).when(lambda mission: mission.edit(content))
    decision.then(Mission.Edited, content=content, changed=(field,)).leaving(content=content)


def test_an_edit_that_changes_nothing_is_silent(given):
    given(created).when(lambda mission: mission.edit(replace(CONTENT))).then_nothing()


def test_an_edit_leaves_a_lease_in_force(given):
    decision = given(created, claimed).when(lambda mission: mission.edit(Content("Other")))
    decision.then(Mission.Edited).leaving(holder=AGENT, lease_token=FIRST_TOKEN, place=ACTIVE)


# Moved by hand


@pytest.mark.parametrize("origin", Stage)
@pytest.mark.parametrize("target", Stage)
def test_a_hand_move_completes_only_into_done_and_reopens_only_out_of_it(given, origin, target):
    place = beside(PLACES[target])
    kinds = [Mission.Moved]
    if target == Stage.DONE != origin:
        kinds.append(Mission.Completed)
    if origin == Stage.DONE != target:
        kinds.append(Mission.Reopened)
    decision = given(created_at(PLACES[origin])).when(lambda mission: mission.move(place, PERSON))
    decision.then(*kinds, from_board_id=BOARD, from_column_id=PLACES[origin].column_id, card=None)
    decision.leaving(place=place, completed=target == Stage.DONE)


def test_a_move_to_where_the_card_stands_is_silent(given):
    given(created).when(lambda mission: mission.move(READY, PERSON)).then_nothing()


def test_a_move_within_done_completes_nothing_again_and_asks_no_reviewer(given):
    history = given(created, claimed, submitted, approved)
    decision = history.when(lambda mission: mission.move(beside(DONE), AGENT))
    decision.then(Mission.Moved).leaving(completed=True, submitted_by=AGENT)


def test_a_hand_move_into_done_says_who_completed_the_mission(given):
    decision = given(created, claimed, submitted).when(lambda mission: mission.move(DONE, PERSON))
    decision.then(Mission.Moved, Mission.Completed, completed_by=PERSON, stage=Stage.DONE)
    decision.leaving(completed=True, progress_percent=100)


def test_who_submitted_the_work_cannot_move_it_into_done(given):
    decision = given(created, claimed, submitted).when(lambda mission: mission.move(DONE, AGENT))
    decision.then_refused(OwnWork)


def test_an_assignee_cannot_move_the_mission_into_done(given):
    history = given(created_at(REVIEW, assignees=(AUTHOR, PERSON)))
    history.when(lambda mission: mission.move(DONE, PERSON)).then_refused(OwnWork)


def test_who_submitted_the_work_cannot_go_round_the_review_by_another_column(given):
    history = given(created, claimed, submitted, moved_to(BACKLOG))
    history.when(lambda mission: mission.move(DONE, AGENT)).then_refused(OwnWork)


def test_a_reopened_mission_forgets_its_submission(given):
    history = given(created, claimed, submitted, approved)
    decision = history.when(lambda mission: mission.move(READY, PERSON))
    decision.then(Mission.Moved, Mission.Reopened)
    decision.leaving(completed=False, submitted_by=None, summary=None)


def test_a_hand_move_out_of_the_column_ends_the_lease_and_names_its_token(given):
    decision = given(created, claimed).when(lambda mission: mission.move(BACKLOG, PERSON))
    decision.then(Mission.Moved, ended_lease=FIRST_TOKEN).leaving(holder=None, lease_token=None)


def test_a_hand_move_to_another_column_of_the_same_stage_ends_the_lease(given):
    decision = given(created, claimed).when(lambda mission: mission.move(beside(ACTIVE), PERSON))
    decision.then(Mission.Moved, ended_lease=FIRST_TOKEN).leaving(holder=None, lease_token=None)


def test_a_new_rank_in_the_same_column_leaves_the_lease_in_force(given):
    place = replace(ACTIVE, rank="k1")
    decision = given(created, claimed).when(lambda mission: mission.move(place, PERSON))
    decision.then(Mission.Moved, ended_lease=None, rank="k1")
    decision.leaving(holder=AGENT, lease_token=FIRST_TOKEN, place=place)


def test_a_move_without_a_lease_ends_none(given):
    decision = given(created).when(lambda mission: mission.move(BACKLOG, PERSON))
    decision.then(Mission.Moved, ended_lease=None)


def test_a_move_to_another_board_carries_the_whole_card(given):
    met = UUID(int=77)
    history = given(
        created_at(READY, assignees=(AGENT,)),
        waits,
        lambda mission: mission.add_dependency(met, met=True),
        claimed,
        failed,
        claimed,
        progressed,
        submitted,
        rejected,
        claimed,
        progressed,
        blocked,
    )
    card = Card(
        content=CONTENT,
        assignees=(AGENT,),
        holder=None,
        progress_percent=40,
        blocked_reason="it rains",
        dependencies=(OTHER_MISSION, met),
        unmet_dependencies=(OTHER_MISSION,),
        submitted_by=None,
        summary=None,
        failures=1,
        completed=False,
    )
    decision = history.when(lambda mission: mission.move(elsewhere(ACTIVE), PERSON))
    decision.then(Mission.Moved, board_id=OTHER_BOARD, from_board_id=BOARD, card=card)
    decision.leaving(place=elsewhere(ACTIVE), holder=None, lease_token=None)


def test_a_card_that_leaves_for_another_board_takes_its_submission_along(given):
    history = given(created, claimed, submitted)
    moved = history.when(lambda mission: mission.move(elsewhere(REVIEW), PERSON)).facts[0]
    assert (moved.card.submitted_by, moved.card.summary) == (AGENT, "painted")


def test_facts_after_a_move_between_boards_name_the_new_board(given):
    history = given(created, moved_to(elsewhere(READY)))
    history.when(blocked).then(Mission.Blocked, board_id=OTHER_BOARD)


def test_a_completing_move_between_boards_names_the_new_board_twice(given):
    decision = given(created).when(lambda mission: mission.move(elsewhere(DONE), PERSON))
    decision.then(Mission.Moved, Mission.Completed, board_id=OTHER_BOARD)


# Re-ranked


def test_a_rerank_changes_the_rank_and_nothing_else(given):
    decision = given(created, claimed).when(lambda mission: mission.rerank("k1"))
    decision.then(Mission.Reranked, rank="k1", column_id=ACTIVE.column_id, stage=Stage.ACTIVE)
    decision.leaving(place=replace(ACTIVE, rank="k1"), holder=AGENT, lease_token=FIRST_TOKEN)


def test_a_rerank_is_no_change_that_an_editor_has_to_know_of(given):
    decision = given(created, claimed).when(lambda mission: mission.rerank("k1"))
    decision.leaving(version=3, substantive_version=2)


def test_the_change_after_a_rerank_is_one_that_an_editor_has_to_know_of(given):
    decision = given(created, lambda mission: mission.rerank("k1")).when(blocked)
    decision.leaving(version=3, substantive_version=3)


# Assigned


def test_assigning_adds_the_assignee_behind_the_others(given):
    decision = given(created_at(READY, assignees=(PERSON,))).when(assigned_to(AGENT))
    decision.then(Mission.Assigned, assignee_id=AGENT).leaving(assignees=(PERSON, AGENT))


def test_assigning_an_assignee_again_is_silent(given):
    given(created, assigned_to(PERSON)).when(assigned_to(PERSON)).then_nothing()


def test_assigning_somebody_else_takes_the_mission_from_its_holder_first(given):
    decision = given(created, claimed).when(assigned_to(OTHER_AGENT))
    decision.then(Mission.Released, Mission.Assigned, agent_id=AGENT, lease_token=FIRST_TOKEN)
    decision.leaving(holder=None, lease_token=None, place=READY, assignees=(OTHER_AGENT,))


def test_assigning_the_holder_leaves_the_lease_in_force(given):
    decision = given(created, claimed).when(assigned_to(AGENT))
    decision.then(Mission.Assigned).leaving(holder=AGENT, lease_token=FIRST_TOKEN, place=ACTIVE)


def test_one_assignee_too_many_is_refused_before_the_holder_loses_anything(given):
    everybody = tuple(UUID(int=1000 + n) for n in range(ASSIGNEES_MAX - 1))
    history = given(created_at(READY, assignees=(*everybody, AGENT)), claimed)
    history.when(assigned_to(OTHER_AGENT)).then_refused(TooMany, field="assignees")


def test_unassigning_takes_one_assignee_away(given):
    history = given(created_at(READY, assignees=(PERSON, AGENT)))
    decision = history.when(lambda mission: mission.unassign(PERSON))
    decision.then(Mission.Unassigned, assignee_id=PERSON).leaving(assignees=(AGENT,))


def test_unassigning_who_was_not_assigned_is_silent(given):
    given(created).when(lambda mission: mission.unassign(PERSON)).then_nothing()


def test_unassigning_the_holder_leaves_the_lease_in_force(given):
    history = given(created_at(READY, assignees=(AGENT,)), claimed)
    decision = history.when(lambda mission: mission.unassign(AGENT))
    decision.then(Mission.Unassigned).leaving(holder=AGENT, lease_token=FIRST_TOKEN)


# Blocked


def test_blocking_says_why(given):
    decision = given(created).when(blocked)
    decision.then(Mission.Blocked, reason="it rains").leaving(blocked_reason="it rains")


def test_a_blocked_mission_is_not_blocked_twice(given):
    given(created, blocked).when(blocked).then_refused(AlreadyBlocked)


def test_blocking_leaves_a_lease_in_force(given):
    decision = given(created, claimed).when(blocked)
    decision.then(Mission.Blocked).leaving(holder=AGENT, lease_token=FIRST_TOKEN)


def test_unblocking_forgives_the_failures(given):
    decision = given(created, claimed, failed, blocked).when(unblocked)
    decision.then(Mission.Unblocked).leaving(blocked_reason=None, failures=0)


def test_a_mission_that_is_not_blocked_is_not_unblocked(given):
    given(created).when(unblocked).then_refused(NotBlocked)


# Dependencies


@pytest.mark.parametrize("met", [True, False])
def test_a_dependency_is_added_with_what_is_known_of_it(given, met):
    decision = given(created).when(lambda mission: mission.add_dependency(OTHER_MISSION, met=met))
    decision.then(Mission.DependencyAdded, depends_on_id=OTHER_MISSION, met=met)
    decision.leaving(dependencies={OTHER_MISSION: met})


def test_a_mission_does_not_depend_on_itself(given):
    decision = given(created).when(lambda mission: mission.add_dependency(MISSION, met=True))
    decision.then_refused(DependsOnItself, field="depends_on_id")


def test_adding_a_dependency_again_is_silent_whatever_it_says(given):
    history = given(created, waits)
    history.when(lambda mission: mission.add_dependency(OTHER_MISSION, met=True)).then_nothing()


def test_one_dependency_too_many_is_refused(given):
    def many(mission):
        for number in range(DEPENDENCIES_MAX):
            mission.add_dependency(UUID(int=5000 + number), met=True)

    given(created, many).when(waits).then_refused(TooMany, field="depends_on_id")


def test_a_dependency_is_removed(given):
    decision = given(created, waits).when(lambda mission: mission.remove_dependency(OTHER_MISSION))
    decision.then(Mission.DependencyRemoved, depends_on_id=OTHER_MISSION).leaving(dependencies={})


def test_a_dependency_that_is_not_there_is_not_removed(given):
    decision = given(created).when(lambda mission: mission.remove_dependency(OTHER_MISSION))
    decision.then_refused(DependencyNotFound, field="depends_on_id")


def test_a_dependency_that_was_completed_becomes_met(given):
    decision = given(created, waits).when(told_met)
    decision.then(Mission.DependencyMet, depends_on_id=OTHER_MISSION)
    decision.leaving(dependencies={OTHER_MISSION: True})


def test_a_dependency_that_was_reopened_becomes_unmet(given):
    history = given(created, waits, told_met)
    decision = history.when(lambda mission: mission.note_dependency(OTHER_MISSION, met=False))
    decision.then(Mission.DependencyUnmet, depends_on_id=OTHER_MISSION)
    decision.leaving(dependencies={OTHER_MISSION: False})


@pytest.mark.parametrize("met", [True, False])
def test_news_of_a_mission_that_is_no_dependency_is_silent(given, met):
    history = given(created)
    history.when(lambda mission: mission.note_dependency(OTHER_MISSION, met=met)).then_nothing()


def test_news_that_is_known_is_silent(given):
    given(created, waits, told_met).when(told_met).then_nothing()


def test_news_for_a_deleted_mission_is_silent(given):
    given(created, waits, deleted).when(told_met).then_nothing()


# Reviewed


def test_approval_completes_the_mission(given):
    decision = given(created, claimed, submitted).when(approved)
    decision.then(
        Mission.Approved,
        Mission.Completed,
        reviewer_id=PERSON,
        completed_by=PERSON,
        column_id=DONE.column_id,
        stage=Stage.DONE,
    )
    decision.leaving(completed=True, progress_percent=100, place=DONE)


def test_rejection_sends_the_work_back_to_ready(given):
    decision = given(created, claimed, submitted).when(rejected)
    decision.then(Mission.Rejected, reviewer_id=PERSON, reason="one wall is missing")
    decision.leaving(place=READY, submitted_by=None, summary=None, completed=False)


def test_why_it_was_sent_back_is_known_until_it_is_handed_in_again(given):
    again = given(created, claimed, submitted, rejected).when(claimed_by(OTHER_AGENT))
    again.leaving(sent_back_reason="one wall is missing")

    def submitted_by_the_other(mission):
        mission.submit(OTHER_AGENT, mission.lease_token, "painted", REVIEW)

    history = given(created, claimed, submitted, rejected, claimed_by(OTHER_AGENT))
    history.when(submitted_by_the_other).leaving(sent_back_reason=None)


REVIEWS = {
    "approve": lambda mission, reviewer_id: mission.approve(reviewer_id, DONE),
    "reject": lambda mission, reviewer_id: mission.reject(reviewer_id, "no", READY),
}
reviews = pytest.mark.parametrize("review", REVIEWS.values(), ids=REVIEWS)


@reviews
def test_nobody_reviews_what_they_submitted(given, review):
    history = given(created, claimed, submitted)
    history.when(lambda mission: review(mission, AGENT)).then_refused(OwnWork)


@reviews
def test_nobody_reviews_what_they_are_assigned(given, review):
    history = given(created_at(READY, assignees=(AGENT, PERSON)), claimed, submitted)
    history.when(lambda mission: review(mission, PERSON)).then_refused(OwnWork)


@reviews
@pytest.mark.parametrize("stage", [each for each in Stage if each != Stage.REVIEW])
def test_only_work_in_review_is_reviewed(given, review, stage):
    history = given(created_at(PLACES[stage]))
    history.when(lambda mission: review(mission, PERSON)).then_refused(NotInReview)


def test_who_submitted_rejected_work_may_review_what_another_submits(given):
    def submitted_by_the_other(mission):
        mission.submit(OTHER_AGENT, mission.lease_token, "painted", REVIEW)

    history = given(
        created, claimed, submitted, rejected, claimed_by(OTHER_AGENT), submitted_by_the_other
    )
    decision = history.when(lambda mission: mission.approve(AGENT, DONE))
    decision.then(Mission.Approved, Mission.Completed)


# Deleted


def test_a_deletion_ends_the_lease(given):
    decision = given(created, claimed).when(deleted)
    decision.then(Mission.Deleted).leaving(deleted=True, holder=None, lease_token=None)


ON_A_DELETED_MISSION = {
    "edit": lambda mission: mission.edit(Content("Other")),
    "edit nothing": lambda mission: mission.edit(CONTENT),
    "move": lambda mission: mission.move(BACKLOG, PERSON),
    "rerank": lambda mission: mission.rerank("k1"),
    "assign": assigned_to(PERSON),
    "unassign": lambda mission: mission.unassign(PERSON),
    "block": blocked,
    "unblock": unblocked,
    "add a dependency": waits,
    "remove a dependency": lambda mission: mission.remove_dependency(OTHER_MISSION),
    "approve": approved,
    "reject": rejected,
    "delete": deleted,
    "claim": claimed,
    "require a lease": lambda mission: mission.require_lease(AGENT, FIRST_TOKEN),
    "release": lambda mission: mission.release(AGENT, FIRST_TOKEN, READY),
    "progress": lambda mission: mission.progress(AGENT, FIRST_TOKEN, 50, None),
    "submit": lambda mission: mission.submit(AGENT, FIRST_TOKEN, "painted", REVIEW),
    "fail": lambda mission: mission.fail(AGENT, FIRST_TOKEN, "no paint", READY),
}


@pytest.mark.parametrize("command", ON_A_DELETED_MISSION.values(), ids=ON_A_DELETED_MISSION)
def test_a_deleted_mission_is_not_there_for_anybody(given, command):
    given(created, claimed, deleted).when(command).then_refused(MissionDeleted)


def test_the_lease_of_a_deleted_mission_expires_in_silence(given):
    history = given(created, claimed, deleted)
    history.when(lambda mission: mission.expire_lease(FIRST_TOKEN, READY)).then_nothing()


# Claimed


def test_a_claim_moves_the_card_to_active_and_answers_the_version_as_token(given):
    decision = given(created).when(claimed)
    decision.then(Mission.Claimed, agent_id=AGENT, lease_ttl_s=TTL_S, column_id=ACTIVE.column_id)
    decision.leaving(holder=AGENT, lease_token=FIRST_TOKEN, version=FIRST_TOKEN, place=ACTIVE)
    assert decision.answer == decision.facts[0].originator_version == FIRST_TOKEN


def test_a_claim_starts_the_progress_afresh_and_assigns_nobody(given):
    history = given(created, claimed, progressed, released)
    history.when(claimed).leaving(progress_percent=0, assignees=())


def test_each_claim_has_a_greater_token(given):
    decision = given(created, claimed, released).when(claimed_by(OTHER_AGENT))
    assert decision.answer == 4 > FIRST_TOKEN


@pytest.mark.parametrize("stage", [each for each in Stage if each != Stage.READY])
def test_only_a_ready_mission_is_claimed(given, stage):
    given(created_at(PLACES[stage])).when(claimed).then_refused(NotClaimable)


def test_a_held_mission_is_not_claimed_by_another(given):
    given(created, claimed).when(claimed_by(OTHER_AGENT)).then_refused(NotClaimable)


def test_a_held_mission_is_not_claimed_by_its_holder_again(given):
    given(created, claimed).when(claimed).then_refused(NotClaimable)


def test_a_blocked_mission_is_not_claimed(given):
    given(created, blocked).when(claimed).then_refused(NotClaimable)


def test_an_unblocked_mission_is_claimed(given):
    given(created, blocked, unblocked).when(claimed).then(Mission.Claimed)


def test_a_mission_of_somebody_else_is_not_claimed(given):
    given(created_at(READY, assignees=(PERSON,))).when(claimed).then_refused(NotClaimable)


def test_one_of_several_assignees_claims_the_mission(given):
    given(created_at(READY, assignees=(PERSON, AGENT))).when(claimed).then(Mission.Claimed)


def test_an_agent_that_lacks_a_capability_does_not_claim_and_hears_which(given):
    content = replace(CONTENT, required_capabilities=("welding", "painting", "diving"))
    decision = given(created_at(READY, content=content)).when(claimed)
    assert decision.then_refused(NotClaimable).refusal.detail == "the agent lacks diving, welding"


# Under a lease

WRITES = {
    "release": lambda mission, agent_id, token: mission.release(agent_id, token, READY),
    "progress": lambda mission, agent_id, token: mission.progress(agent_id, token, 50, "half"),
    "submit": lambda mission, agent_id, token: mission.submit(agent_id, token, "done", REVIEW),
    "fail": lambda mission, agent_id, token: mission.fail(agent_id, token, "no", READY),
    "require": lambda mission, agent_id, token: mission.require_lease(agent_id, token),
}
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
ENDINGS = {
    "released": released,
    "submitted": submitted,
    "failed": failed,
    "expired": expired,
    "moved": moved_to(BACKLOG),
    "assigned away": assigned_to(OTHER_AGENT),
}


@writes
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_token_is_refused_once_its_lease_has_ended(given, write, ending):
    decision = given(created, claimed, ending).when(lambda m: write(m, AGENT, FIRST_TOKEN))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
@pytest.mark.parametrize("claimer", [AGENT, OTHER_AGENT], ids=["itself", "another"])
def test_a_stale_token_is_refused_after_the_next_claim(given, write, claimer):
    history = given(created, claimed, released, claimed_by(claimer))
    decision = history.when(lambda mission: write(mission, AGENT, FIRST_TOKEN))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
@pytest.mark.parametrize("token", [0, FIRST_TOKEN - 1, FIRST_TOKEN + 1])
def test_the_holder_is_refused_without_the_token_itself(given, write, token):
    decision = given(created, claimed).when(lambda mission: write(mission, AGENT, token))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
def test_the_holder_is_told_that_the_token_is_missing(given, write):
    decision = given(created, claimed).when(lambda mission: write(mission, AGENT, None))
    decision.then_refused(LeaseTokenMissing, field="lease_token")


@writes
def test_another_agent_without_a_token_is_told_that_it_has_no_lease(given, write):
    decision = given(created, claimed).when(lambda mission: write(mission, OTHER_AGENT, None))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
def test_a_token_is_worth_nothing_to_another_agent(given, write):
    history = given(created, claimed)
    decision = history.when(lambda mission: write(mission, OTHER_AGENT, FIRST_TOKEN))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
def test_no_token_is_no_lease_where_nobody_holds_the_mission(given, write):
    decision = given(created).when(lambda mission: write(mission, AGENT, None))
    decision.then_refused(LeaseLost, field="lease_token")


@writes
def test_a_token_outlives_every_event_that_does_not_end_the_lease(given, write):
    history = given(
        created,
        claimed,
        progressed,
        lambda mission: mission.edit(Content("Other")),
        lambda mission: mission.rerank("k1"),
        moved_to(replace(ACTIVE, rank="z1")),
        blocked,
        waits,
        assigned_to(AGENT),
    )
    decision = history.when(lambda mission: write(mission, AGENT, FIRST_TOKEN))
    assert decision.refusal is None


def test_asking_for_the_lease_in_force_is_silent(given):
    history = given(created, claimed)
    history.when(lambda mission: mission.require_lease(AGENT, FIRST_TOKEN)).then_nothing()


def test_a_release_gives_the_mission_back_to_ready(given):
    decision = given(created, claimed).when(released)
    decision.then(Mission.Released, agent_id=AGENT, lease_token=FIRST_TOKEN)
    decision.leaving(holder=None, lease_token=None, place=READY, failures=0)


def test_progress_is_noted_and_keeps_the_lease(given):
    history = given(created, claimed)
    decision = history.when(lambda mission: mission.progress(AGENT, FIRST_TOKEN, 50, "half"))
    decision.then(Mission.Progressed, agent_id=AGENT, percent=50, note="half")
    decision.leaving(progress_percent=50, holder=AGENT, lease_token=FIRST_TOKEN)


def test_a_submission_hands_the_work_in_and_ends_the_lease(given):
    decision = given(created, claimed).when(submitted)
    decision.then(Mission.Submitted, agent_id=AGENT, summary="painted", stage=Stage.REVIEW)
    decision.leaving(
        place=REVIEW, submitted_by=AGENT, summary="painted", holder=None, lease_token=None
    )


def test_a_failure_is_counted_and_ends_the_lease(given):
    decision = given(created, claimed).when(failed)
    decision.then(Mission.Failed, agent_id=AGENT, reason="no paint")
    decision.leaving(failures=1, place=READY, holder=None, lease_token=None, blocked_reason=None)


def test_the_last_failure_allowed_blocks_the_mission(given):
    history = given(created, *[claimed, failed] * (FAILURES_UNTIL_BLOCKED - 1), claimed)
    decision = history.when(failed)
    decision.then(Mission.Failed, Mission.Blocked)
    decision.leaving(
        failures=FAILURES_UNTIL_BLOCKED, blocked_reason="failed 3 times, last: no paint"
    )


def test_the_last_failure_allowed_leaves_a_person_s_block_as_it_is(given):
    history = given(created, *[claimed, failed] * (FAILURES_UNTIL_BLOCKED - 1), claimed, blocked)
    history.when(failed).then(Mission.Failed).leaving(blocked_reason="it rains")


def test_failures_are_counted_from_the_last_unblocking(given):
    history = given(created, *[claimed, failed] * FAILURES_UNTIL_BLOCKED, unblocked, claimed)
    history.when(failed).then(Mission.Failed).leaving(failures=1, blocked_reason=None)


def test_releases_and_expiries_are_no_failures(given):
    history = given(created, *[claimed, released, claimed, expired] * FAILURES_UNTIL_BLOCKED)
    history.when(claimed).then(Mission.Claimed).leaving(failures=0)


def test_an_expiry_ends_the_lease_and_names_its_holder(given):
    decision = given(created, claimed).when(expired)
    decision.then(Mission.LeaseExpired, agent_id=AGENT, lease_token=FIRST_TOKEN)
    decision.leaving(holder=None, lease_token=None, place=READY)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_an_expiry_of_a_lease_that_ended_otherwise_is_silent(given, ending):
    history = given(created, claimed, ending)
    history.when(lambda mission: mission.expire_lease(FIRST_TOKEN, READY)).then_nothing()


def test_an_expiry_does_not_end_the_lease_that_came_after(given):
    decision = given(created, claimed, released, claimed).when(
        lambda mission: mission.expire_lease(FIRST_TOKEN, READY)
    )
    decision.then_nothing().leaving(holder=AGENT, lease_token=4)
