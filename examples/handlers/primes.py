"""Counts the primes below a number. Start-up is the costly part: a table of all of them."""

import bisect
import json
import sys

LIMIT = 1_000_000
sieve = bytearray([1]) * LIMIT
sieve[0:2] = b"\0\0"
for number in range(2, int(LIMIT**0.5) + 1):
    if sieve[number]:
        sieve[number * number :: number] = bytes(len(range(number * number, LIMIT, number)))
primes = [number for number in range(LIMIT) if sieve[number]]

for line in sys.stdin:
    below = json.loads(line)["data"]
    if isinstance(below, int) and not isinstance(below, bool) and 0 <= below <= LIMIT:
        answer = {"result": {"primes": bisect.bisect_left(primes, below)}}
    else:
        answer = {"error": f"data must be a whole number from 0 to {LIMIT}", "retry": False}
    print(json.dumps(answer), flush=True)
