"""The statistics of a series of readings, worked out from the published definitions: the second opinion on src/statistics.

Exact fractions throughout; a square root to sixty digits. Nothing is done in one pass, nothing is kept small: every step is written
as its definition reads, so that it can be checked against it. Needs Python 3.8 and nothing else.

    python3 tests/it/statistics/oracle.py < cases > answers        one JSON object a line, both ways

Where the definitions come from:
    Danne 2017        International Consensus on Use of Continuous Glucose Monitoring. Diabetes Care 40:1631
    Bergenstal 2018   Glucose Management Indicator (GMI). Diabetes Care 41:2275
    Battelino 2019    Clinical Targets for Continuous Glucose Monitoring Data Interpretation. Diabetes Care 42:1593
    HL7 CGM STU1      the profiles of the summary's members: which figures, in which units; times in ranges are disjoint

What these leave open was decided for this project. Each decision stands here once, in words, and carries its number below:
    1  A reading counts for the interval its sensor measures in: 1, 3, 5, 10 or 15 minutes. That is what the three gaps after
       it agree on; where they do not agree, it is the interval of its sensor's reading before it; before the first
       agreement, the interval of that. Where no three gaps ever agree, what most gaps of the sensor speak for, of
       equals the shorter; where no gap speaks for any, five minutes. A gap speaks for 1 minute up to 150 s, for 3 up to
       230 s, for 5 up to 450 s, for 10 from 540 to 700 s, for 15 from 750 to 1050 s: room for jitter. Only readings with a value inside the window tell.
    2  A sensor is worn from a reading until that reading's interval is over, and on to its next reading if that comes
       within a day: what it misses in between is missing. A reading at an instant at which a sensor started later is
       worn does not count: people trust the newer one, and an older one beside it does not fill its gaps. A sensor starts with the first thing it
       ever said; of two started in the same second the one with the higher number is the later.
    3  "Low" and "High" count 1 mg/dL beyond the device's limit.
    4  Two readings of one sensor in one second are one: the first named.
    5  With unequal weights the deviation is divided by the sum of weights less (sum of squared weights / sum of
       weights), which comes to n - 1 at equal weights.
    6  A reading's local date is by the UTC offset stored with it. Where that lies outside the dates summarised
       (somebody travelled) it counts to the nearest of them. A covered second belongs to the date it has by the offset
       of the first reading that covers it.
    7  A date is well covered from 70 % of 24 hours on, also where clocks made it shorter or longer.
    8  Percentages of ranges that people read side by side are made to add up to 100 by largest remainder; of equals the
       larger share goes first, then the lower range.
       A date under way counts up to the end of the last covered second, not as a whole: elapsed time ends there, but
       not before that date began.
    9  What is sent is rounded half up, each figure by itself: ranges to 0.01 %, mean to 0.1 mg/dL or 0.01 mmol/L, GMI, CV and sensor activity to 0.01 %.

The crate keeps at most 6144 readings waiting, so that memory stays bounded; no series compared here keeps so many.
"""

import json
import sys
from bisect import bisect_right
from collections import Counter
from datetime import date
from decimal import Decimal, getcontext
from fractions import Fraction
from functools import lru_cache

getcontext().prec = 60

# mg/dL in one mmol/L: a tenth of the molar mass of glucose, 180.1559 g/mol.
MOLAR = Fraction("18.01559")
DAY = 86400
EPOCH = date(1970, 1, 1).toordinal()


class Reading:
    def __init__(self, sensor, second, offset, kind, text, unit):
        self.sensor, self.second, self.offset = sensor, second, offset
        self.mg_dl, self.band = mg_dl(kind, text, unit), band(kind, text, unit)
        self.clipped = kind != "value"
        self.minutes = None

    @property
    def end(self):
        return self.second + 60 * self.minutes


# ---- one reading -------------------------------------------------------------------------------------------------


def half_up(x):
    return (x + Fraction(1, 2)).__floor__()


@lru_cache(maxsize=None)
def mg_dl(kind, text, unit):
    reported = Fraction(text) * (MOLAR if unit == "mmol/L" else 1)
    return reported + {"below": -1, "value": 0, "above": 1}[kind]  # 3


@lru_cache(maxsize=None)
def band(kind, text, unit):
    """Battelino 2019: <54, 54-69, 70-180, 181-250, >250 mg/dL, or <3.0, 3.0-3.8, 3.9-10.0, 10.1-13.9, >13.9 mmol/L.

    Both rows are lists of what a device shows, so the value is first rounded as a device shows it, in the unit it came in.
    """
    value = mg_dl(kind, text, unit)
    if unit == "mg/dL":
        shown, last_of_ranges = half_up(value), [53, 69, 180, 250]
    else:
        shown, last_of_ranges = half_up(value / MOLAR * 10), [29, 38, 100, 139]
    return sum(shown > last for last in last_of_ranges)


# ---- which readings count, and for how long ----------------------------------------------------------------------


def spoken_for(gap):
    for minutes, shortest, longest in (1, 1, 150), (3, 151, 230), (5, 231, 450), (10, 540, 700), (15, 750, 1050):
        if shortest <= gap <= longest:
            return minutes
    return None


def intervals(seconds):  # 1
    gaps = [spoken_for(later - earlier) for earlier, later in zip(seconds, seconds[1:])]

    def agreed_after(i):
        three = gaps[i : i + 3]
        return three[0] if len(three) == 3 and len(set(three)) == 1 else None

    agreed = [agreed_after(i) for i in range(len(seconds))]
    first = next((minutes for minutes in agreed if minutes), None)
    if first is None:
        votes = Counter(minutes for minutes in gaps if minutes)
        return [min(votes, key=lambda minutes: (-votes[minutes], minutes), default=5)] * len(seconds)
    told = [first]
    for minutes in agreed:
        told.append(minutes or told[-1])
    return told[1:]


def overruled(readings, starts):  # 2
    """The readings at whose instant a sensor started later covers."""
    own = {}
    for reading in readings:
        own.setdefault(reading.sensor, []).append(reading)
    seconds = {sensor: [reading.second for reading in of_sensor] for sensor, of_sensor in own.items()}

    def is_worn(sensor, instant):
        at = bisect_right(seconds[sensor], instant)
        if at == 0:
            return False
        comes_back = at < len(own[sensor]) and seconds[sensor][at] - seconds[sensor][at - 1] <= DAY
        return comes_back or instant < own[sensor][at - 1].end

    def is_overruled(reading):
        rank = (starts[reading.sensor], reading.sensor)
        return any((starts[other], other) > rank and is_worn(other, reading.second) for other in own)

    return {reading for reading in readings if is_overruled(reading)}


def counted_readings(case, window):
    start, end = window
    # Warm-up, errors and the like have no value to count, but they are things a sensor said.
    starts = {}
    for sensor, second, *_ in case["readings"]:
        starts[sensor] = min(second, starts.get(sensor, second))
    starts.update((int(sensor), second) for sensor, second in case.get("sensor_starts", {}).items())

    readings, seen = [], set()
    for sensor, second, offset, kind, text, unit in case["readings"]:
        if kind != "absent" and start <= second < end and (sensor, second) not in seen:  # 4
            seen.add((sensor, second))
            readings.append(Reading(sensor, second, offset, kind, text, unit))
    readings.sort(key=lambda reading: reading.second)
    for sensor in {reading.sensor for reading in readings}:
        own = [reading for reading in readings if reading.sensor == sensor]
        for reading, minutes in zip(own, intervals([reading.second for reading in own])):
            reading.minutes = minutes
    lost = overruled(readings, starts)
    return [reading for reading in readings if reading not in lost]


# ---- time --------------------------------------------------------------------------------------------------------


def start_of(day, zone):
    """The first second at which the zone's clocks show the date or a later one, whatever they skipped or repeated.

    `zone` is each offset with the second from which it holds, beginning before that date.
    """
    found = []
    for (since, minutes), (following, _) in zip(zone, zone[1:] + [[None, None]]):
        first = max(since, day * DAY - 60 * minutes)
        if following is None or first < following:
            found.append(first)
    return min(found)


def covered_seconds(counted, window, first, last):
    """How many seconds of the window some reading's interval holds, and how many of each date.

    The window is painted second by second, each reading's interval in the colour of its offset, the latest reading first:
    so where intervals overlap the colour of the first reading is what remains.
    """
    start, end = window
    colours = sorted({reading.offset for reading in counted})
    assert len(colours) < 255, "a colour is a byte, and 0 is bare"
    painted = bytearray(end - start)
    for reading in reversed(counted):
        until = min(reading.end, end)
        colour = bytes([colours.index(reading.offset) + 1])
        painted[reading.second - start : until - start] = colour * (until - reading.second)
    of_date = Counter()
    for colour, offset in enumerate(colours, 1):
        for day in range((start + 60 * offset) // DAY, (end + 60 * offset) // DAY + 1):
            midnight = day * DAY - 60 * offset - start
            of_date[nearest(day, first, last)] += painted.count(colour, max(midnight, 0), max(midnight + DAY, 0))
    return len(painted) - painted.count(0), of_date


def nearest(day, first, last):  # 6
    return min(max(day, first), last)


# ---- the summary -------------------------------------------------------------------------------------------------


def square_root(x):
    return Fraction((Decimal(x.numerator) / Decimal(x.denominator)).sqrt())


def summary(case):
    """`window`, `figures` (unrounded) and what goes on the `wire`, of a case:

    dates           first and last local date, inclusive
    window          first second and the one after the last; without it, `zone`: each UTC offset in minutes with its first second
    readings        [sensor, second, offset in minutes, value | below | above | absent, digits, unit], in order of time
    day_under_way   the second at which the last date began, if it is not over
    sensor_starts   where a sensor started before the first of its readings here
    """
    first, last = (date.fromisoformat(text).toordinal() - EPOCH for text in case["dates"])
    window = case.get("window") or [start_of(first, case["zone"]), start_of(last + 1, case["zone"])]
    counted = counted_readings(case, window)
    figures = {"readings": len(counted), "clipped": sum(reading.clipped for reading in counted)}
    answer = {"window": window, "figures": figures}
    if len(counted) < 2:  # No deviation of one reading, so no coefficient of variation, which a summary must have.
        return answer

    weight = sum(reading.minutes for reading in counted)
    alike = Counter((reading.minutes, reading.mg_dl) for reading in counted)
    mean = sum(times * minutes * x for (minutes, x), times in alike.items()) / Fraction(weight)
    squares = sum(times * minutes * (x - mean) ** 2 for (minutes, x), times in alike.items())
    variance = squares / (weight - Fraction(sum(reading.minutes**2 for reading in counted), weight))  # 5
    sd = square_root(variance)
    cv = 100 * sd / mean  # Danne 2017
    gmi = Fraction("3.31") + Fraction("0.02392") * mean  # Bergenstal 2018
    gmi_ifcc = Fraction("12.71") + Fraction("4.70587") * mean / MOLAR  # Bergenstal 2018, mmol/mol
    in_band = Counter()
    for reading in counted:
        in_band[reading.band] += reading.minutes
    shares = [Fraction(100 * in_band[band], weight) for band in range(5)]

    covered, covered_of_date = covered_seconds(counted, window, first, last)
    elapsed = window[1] - window[0]
    if case.get("day_under_way") is not None:
        last_covered = max(min(reading.end, window[1]) for reading in counted)
        elapsed = max(last_covered, case["day_under_way"]) - window[0]
    active = Fraction(100 * covered, elapsed)
    worn = {nearest((reading.second + 60 * reading.offset) // DAY, first, last) for reading in counted}
    well_covered = sum(seconds * 10 >= DAY * 7 for seconds in covered_of_date.values())  # 7
    # Battelino 2019: at least 14 days, and 70 % of the data of them.
    short_of_days, short_of_wear = last - first + 1 < 14, active < 70

    figures.update(
        {
            "mean_mg_dl": float(mean),
            "mean_mmol_l": float(mean / MOLAR),
            "sd_mg_dl": float(sd),
            "cv_percent": float(cv),
            "gmi_percent": float(gmi),
            "gmi_mmol_mol": float(gmi_ifcc),
            "percentages": [float(share) for share in shares],
            "reconciled_hundredths": reconciled(shares, 100),
            "reconciled_whole": reconciled(shares, 1),
            "days_of_wear": len(worn),
            "days_well_covered": well_covered,
            "covered_minutes": float(Fraction(covered, 60)),
            "elapsed_minutes": float(Fraction(elapsed, 60)),
            "sensor_active_percent": float(active),
            "short_of_days": short_of_days,
            "short_of_wear": short_of_wear,
        }
    )
    answer["wire"] = {
        "mean_mg_dl": digits(mean, 1),
        "mean_mmol_l": digits(mean / MOLAR, 2),
        "gmi": digits(gmi, 2),
        "cv": digits(cv, 2),
        "active": digits(active, 2),
        "days": [str(len(worn))],
        "ranges": [decimal_text(half_up(100 * share), 2) for share in shares],
        "note": short_of_days or short_of_wear or case.get("day_under_way") is not None,
    }
    return answer


# ---- rounding ----------------------------------------------------------------------------------------------------


def reconciled(shares, per_percent):  # 8
    units = [(share * per_percent).__floor__() for share in shares]
    lost = [share * per_percent - unit for share, unit in zip(shares, units)]
    by_loss = sorted(range(5), key=lambda i: (-lost[i], -shares[i], i))
    for i in by_loss[: 100 * per_percent - sum(units)]:
        units[i] += 1
    return units


def digits(x, decimals):  # 9
    """What may be written for x: its digits; where it lies so near to a half that a double cannot tell, both sides' digits."""
    scaled = x * 10**decimals
    noise = abs(scaled) * Fraction(1, 10**12)
    return sorted({decimal_text(half_up(value), decimals) for value in (scaled - noise, scaled, scaled + noise)})


def decimal_text(units, decimals):
    whole, rest = divmod(units, 10**decimals)
    return "{}.{:0{}}".format(whole, rest, decimals)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(summary(json.loads(line))), flush=True)
