from __future__ import annotations

import re

import pytest

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.catalogue import catalogue

MEMBERS = {"pelosi": "Nancy Pelosi", "capito": "Shelley Moore Capito"}
CADENCES = {
    **dict.fromkeys(
        ["app_reviews_hype", "congress_aggregate", "dc_insider_tilt", "glide_path", "insider_buying_pulse"],
        Cadence.WEEKLY_MON,
    ),
    **dict.fromkeys(["policy_50_25_25", "upgrade_momentum", "wiki_attention_surge", "wsb_buzz"], Cadence.WEEKLY_MON),
    **dict.fromkeys(
        ["leveraged_sector_momentum", "sector_risk_parity", "volatility_scaled_momentum"], Cadence.WEEKLY_FRI
    ),
    **dict.fromkeys(
        ["gov_contracts_momentum", "lobbying_growth", "small_cap_momentum", "trends_news_sentiment"], Cadence.MONTHLY
    ),
    **dict.fromkeys(["follow_capito", "follow_pelosi"], Cadence.MONTHLY_FIRST_MON),
}


def test_every_strategy_is_there_once_in_alphabetical_order():
    found = catalogue(MEMBERS, {})
    assert list(found) == sorted(found)
    assert all(name == strategy.name for name, strategy in found.items())
    assert {name: one.cadence for name, one in found.items()} == CADENCES
    assert list(catalogue(dict(reversed(MEMBERS.items())), {})) == list(found)


def test_every_strategy_states_rule_source_and_parameters():
    for strategy in catalogue(MEMBERS, {}).values():
        assert all(word in strategy.rule for word in ("Rule:", "Source:", "Parameters:")), strategy.name
        assert all(name in strategy.rule for name in strategy.parameters), strategy.name


def test_parameters_are_applied_to_their_strategy_alone():
    found = catalogue(MEMBERS, {"congress_aggregate": {"top_n": 7}})
    assert found["congress_aggregate"].parameters == {"top_n": 7}
    assert found["sector_risk_parity"].parameters == {"top_n": 5}
    assert found["follow_pelosi"].parameters == {"member": "Nancy Pelosi"}
    assert catalogue(MEMBERS, {})["congress_aggregate"].parameters == {"top_n": 20}


@pytest.mark.parametrize(
    ("members", "parameters", "message"),
    [
        ({}, {"congres_aggregate": {}}, "There is no strategy 'congres_aggregate'; there are app_reviews_hype,"),
        ({}, {"follow_pelosi": {}}, "There is no strategy 'follow_pelosi'"),
        ({}, {"congress_aggregate": {"n": 3}}, "congress_aggregate has no parameter 'n'; it has top_n"),
        ({"pelosi": "Pelosi"}, {}, "'Pelosi' is neither a first and last name nor a Bioguide id"),
    ],
)
def test_what_is_unknown_is_named_in_one_sentence(members: dict, parameters: dict, message: str):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        catalogue(members, parameters)
    assert "\n" not in str(raised.value)
