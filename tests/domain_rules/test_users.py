"""What may be done to a person's account."""

from uuid import UUID

import pytest

from domain.base import Sealed
from domain.user import User, UserDisabled

WORKSPACE, USER = UUID(int=1), UUID(int=2)
NAME, EMAIL, NEW_NAME = (Sealed(USER, box) for box in ("bmFtZQ==", "ZW1haWw=", "bmV3"))


def untouched(_):
    pass


def registered():
    return User.begin(USER, workspace_id=WORKSPACE, name=NAME, email=EMAIL)


def disabled(user):
    user.disable()


def test_a_registered_person_is_not_disabled(given):
    decision = given(registered).when(untouched)
    decision.then_nothing().leaving(name=NAME, email=EMAIL, disabled=False)


@pytest.mark.parametrize("name", [NEW_NAME, "Opened", None])
def test_a_person_takes_another_name_and_keeps_the_address(given, name):
    decision = given(registered).when(lambda user: user.change_profile(name))
    decision.then(User.ProfileChanged, name=name).leaving(name=name, email=EMAIL)


def test_a_disabled_person_takes_no_other_name(given):
    history = given(registered, disabled)
    history.when(lambda user: user.change_profile(NEW_NAME)).then_refused(UserDisabled)


def test_a_person_is_disabled(given):
    given(registered).when(disabled).then(User.Disabled).leaving(disabled=True)


def test_disabling_a_disabled_person_is_silent(given):
    given(registered, disabled).when(disabled).then_nothing()
