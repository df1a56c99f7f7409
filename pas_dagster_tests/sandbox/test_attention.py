"""What people read, post, search for and rate in the sandbox: plausible, and by the rules of the tables."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest

from pas_dagster.sandbox import World, apps, reddit, trends
from pas_dagster.sandbox.attention import calendar_days, listed
from pas_dagster.schemas import TABLES

START, END = date(2021, 1, 4), date(2023, 6, 30)
NAMES = ("wiki_views", "reddit_mentions", "google_trends", "app_reviews")


@cache
def world() -> World:
    return World(11, START, END)


@pytest.mark.parametrize("name", NAMES)
def test_rows_keep_the_rules_of_their_table(name: str) -> None:
    table = TABLES[name]
    rows = world().table(name)
    verdict = table.check(table.conform(rows.assign(provider="sandbox", raw=None)))
    assert verdict.bad.empty
    order = ["known_on", *(column for column in table.key if column != "known_on")]
    pd.testing.assert_frame_equal(rows, rows.sort_values(order, ignore_index=True))


@pytest.mark.parametrize("name", NAMES)
def test_symbols_are_those_listed_on_the_day(name: str) -> None:
    rows = world().table(name)
    events = world().table("universe").pivot(index="symbol", columns="action", values="event_date")
    joined, left = rows["symbol"].map(events["add"]), rows["symbol"].map(events["remove"])
    assert (rows["known_on"] >= joined).all()
    week_end = pd.Timedelta(days=4)  # the last session counts for the days up to the next one
    assert (left.isna() | (rows["event_date"] < left + week_end)).all()


def test_a_new_symbol_is_used_from_its_first_day() -> None:
    change = world().table("corporate_actions").query("kind == 'symbol_change'").iloc[0]
    views = world().table("wiki_views")
    assert views.loc[views["symbol"] == change["symbol"], "event_date"].max() < change["event_date"]
    assert views.loc[views["symbol"] == change["new_symbol"], "event_date"].min() >= change["event_date"]


def test_large_moves_are_noticed() -> None:
    moves = (
        world().table("prices")[["event_date", "symbol", "total_return"]].assign(size=lambda p: p["total_return"].abs())
    )
    views = world().table("wiki_views").merge(moves, on=["event_date", "symbol"])
    usual = views.groupby("symbol")["views"].transform("median")
    large = views["size"] > 0.06
    assert (views["views"] / usual)[large].median() > 1.5 * (views["views"] / usual)[~large].median()


def test_articles_are_read_less_at_week_ends() -> None:
    views = world().table("wiki_views")
    by_day = views.groupby(views["event_date"].dt.day_of_week)["views"].median()
    assert by_day[[5, 6]].max() < by_day[[0, 1, 2, 3]].min()


def test_views_of_a_day_are_known_on_the_next() -> None:
    views = world().table("wiki_views")
    assert (views["known_on"] - views["event_date"] == pd.Timedelta(days=1)).all()


def test_few_symbols_have_most_mentions() -> None:
    days = world().table("reddit_mentions").groupby("event_date")["mentions"]
    assert 100 <= days.size().median() <= 150
    assert (days.max() / days.sum()).median() > 0.08
    assert (days.max() == reddit.MOST_POSTS).mean() < 0.1
    assert days.max().max() > 2 * days.max().median()


def test_upvotes_are_the_scores_of_the_posts() -> None:
    rows = world().table("reddit_mentions")
    first = rows[rows["event_date"] == rows["event_date"].min()]
    scores = reddit.scores(world(), 1)[0]
    assert first["upvotes"].tolist() == [scores[:count].sum() for count in first["mentions"]]


def test_interest_is_relative_to_the_highest_of_the_weeks_shown() -> None:
    volume = trends.searches(world())
    shown = trends.relative(volume, 100)
    assert shown.shape[0] == 101
    assert (shown.max(axis=0) == 100).all()
    assert trends.relative(volume, 5).shape[0] == 6
    rows = world().table("google_trends")
    assert set(rows["event_date"].dt.day_of_week) == {6}
    assert (rows["known_on"] - rows["event_date"] == pd.Timedelta(days=7)).all()


def test_ratings_add_up_and_apps_belong_to_consumer_companies() -> None:
    rows = world().table("app_reviews")
    assert rows.groupby("app_id")["ratings"].apply(lambda counts: counts.is_monotonic_increasing).all()
    assert 20 <= len(apps.catalogue()) <= 30
    assert {app.app_id for app in apps.catalogue()} == {one for ids in apps.ids(world()).values() for one in ids}
    assert set(rows["symbol"]) <= set(apps.ids(world()))


def test_calendar_days_have_no_gap_and_a_new_company_waits_for_its_first_session() -> None:
    days = calendar_days(world())
    assert (np.diff(days) == 1).all()
    there = listed(world(), days)
    assert there[0].sum() == 150
    entrant = int(np.argmax(world().listing.first))
    begins = int(np.argmax(there[:, entrant]))
    if world().listing.first[entrant] < len(world().days):
        assert days[begins] == world().days[world().listing.first[entrant]]
