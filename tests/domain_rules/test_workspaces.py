"""What may be done to a workspace and its members."""

from uuid import UUID

import pytest

from domain.workspace import AlreadyMember, LastAdmin, MemberNotFound, Role, Workspace

WORKSPACE, BOARD, ADMIN, OTHER, STRANGER = (UUID(int=n) for n in range(1, 6))


def untouched(_):
    pass


def created():
    return Workspace.begin(WORKSPACE, workspace_id=WORKSPACE, name="Acme", default_board_id=BOARD)


def founded(workspace):
    workspace.add_member(ADMIN, Role.ADMIN)


def joined(role):
    return lambda workspace: workspace.add_member(OTHER, role)


def test_a_new_workspace_has_a_board_and_no_members(given):
    decision = given(created).when(untouched)
    decision.then_nothing().leaving(name="Acme", default_board_id=BOARD, members={})


@pytest.mark.parametrize("role", Role)
def test_a_member_is_added_with_a_role(given, role):
    decision = given(created, founded).when(joined(role))
    decision.then(Workspace.MemberAdded, user_id=OTHER, role=role)
    decision.leaving(members={ADMIN: Role.ADMIN, OTHER: role})


@pytest.mark.parametrize("role", Role)
def test_a_member_is_not_added_twice_in_whatever_role(given, role):
    decision = given(created, founded, joined(Role.VIEWER)).when(joined(role))
    decision.then_refused(AlreadyMember, field="user_id")


def test_a_member_takes_another_role(given):
    history = given(created, founded, joined(Role.VIEWER))
    decision = history.when(lambda w: w.change_role(OTHER, Role.MISSION_COMMANDER))
    decision.then(Workspace.RoleChanged, user_id=OTHER, role=Role.MISSION_COMMANDER)
    decision.leaving(members={ADMIN: Role.ADMIN, OTHER: Role.MISSION_COMMANDER})


def test_taking_the_same_role_is_silent_even_for_the_last_admin(given):
    history = given(created, founded)
    history.when(lambda workspace: workspace.change_role(ADMIN, Role.ADMIN)).then_nothing()


@pytest.mark.parametrize("role", [each for each in Role if each != Role.ADMIN])
def test_the_last_admin_takes_no_other_role(given, role):
    history = given(created, founded, joined(Role.MISSION_COMMANDER))
    decision = history.when(lambda workspace: workspace.change_role(ADMIN, role))
    decision.then_refused(LastAdmin, field="user_id")


def test_one_of_two_admins_takes_another_role(given):
    history = given(created, founded, joined(Role.ADMIN))
    decision = history.when(lambda workspace: workspace.change_role(ADMIN, Role.VIEWER))
    decision.then(Workspace.RoleChanged)


def test_a_stranger_takes_no_role(given):
    decision = given(created, founded).when(lambda w: w.change_role(STRANGER, Role.VIEWER))
    decision.then_refused(MemberNotFound, field="user_id")


def test_a_member_is_removed(given):
    history = given(created, founded, joined(Role.VIEWER))
    decision = history.when(lambda workspace: workspace.remove_member(OTHER))
    decision.then(Workspace.MemberRemoved, user_id=OTHER).leaving(members={ADMIN: Role.ADMIN})


def test_a_removed_member_may_join_again(given):
    history = given(created, founded, joined(Role.ADMIN), lambda w: w.remove_member(OTHER))
    history.when(joined(Role.VIEWER)).then(Workspace.MemberAdded, role=Role.VIEWER)


def test_the_last_admin_is_not_removed(given):
    history = given(created, founded, joined(Role.MISSION_COMMANDER))
    decision = history.when(lambda workspace: workspace.remove_member(ADMIN))
    decision.then_refused(LastAdmin, field="user_id")


def test_of_two_admins_only_one_is_removed(given):
    history = given(created, founded, joined(Role.ADMIN))
    history.when(lambda workspace: workspace.remove_member(ADMIN)).then(Workspace.MemberRemoved)

    def both(workspace):
        workspace.remove_member(ADMIN)
        workspace.remove_member(OTHER)

    with pytest.raises(LastAdmin):
        given(created, founded, joined(Role.ADMIN), both)


def test_a_stranger_is_not_removed(given):
    decision = given(created, founded).when(lambda w: w.remove_member(STRANGER))
    decision.then_refused(MemberNotFound, field="user_id")


def test_only_for_the_last_admin_is_another_one_required(given):
    decision = given(created, founded, joined(Role.VIEWER)).when(
        lambda workspace: workspace.require_another_admin(ADMIN)
    )
    decision.then_refused(LastAdmin, field="user_id")
    for role, user_id in [(Role.VIEWER, OTHER), (Role.ADMIN, ADMIN), (Role.ADMIN, OTHER)]:
        history = given(created, founded, joined(role))
        history.when(lambda w, user_id=user_id: w.require_another_admin(user_id)).then_nothing()
