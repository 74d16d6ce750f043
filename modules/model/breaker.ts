/** Leaves a place that failed several times in a row alone for a while, then tries it with one request. */
export interface Breaker {
  /** May it be asked now? Of a place that rested, only the first who asks may. */
  admits(place: string): boolean;
  isResting(place: string): boolean;
  succeeded(place: string): void;
  failed(place: string): void;
}

interface Place {
  failures: number;
  /** Milliseconds of the clock; before that it rests. */
  restsUntil: number;
}

const failuresInARow = 5;
const restMilliseconds = 30_000;

/** @param now milliseconds of a clock that only goes forward */
export function createBreaker(now: () => number = () => performance.now()): Breaker {
  const places = new Map<string, Place>();
  const isOpen = ({ failures }: Place) => failures >= failuresInARow;
  return {
    admits(place) {
      const known = places.get(place);
      if (known === undefined || !isOpen(known)) return true;
      if (now() < known.restsUntil) return false;
      known.restsUntil = now() + restMilliseconds;
      return true;
    },
    isResting(place) {
      const known = places.get(place);
      return known !== undefined && isOpen(known) && now() < known.restsUntil;
    },
    succeeded: (place) => void places.delete(place),
    failed(place) {
      places.set(place, { failures: (places.get(place)?.failures ?? 0) + 1, restsUntil: now() + restMilliseconds });
    },
  };
}
