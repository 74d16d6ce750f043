/** The time that a run has been played: what counts against its limit of seconds. */

export interface Clock extends Disposable {
  /** Milliseconds. */
  elapsed(): number;
  /** Stops it, as while the run waits for nothing but a human; or lets it go on. */
  hold(isHeld: boolean): void;
}

/**
 * @param before milliseconds that were played already
 * @param limit milliseconds after which `onLimit` is called
 */
export function startClock(before: number, limit: number, onLimit: () => void): Clock {
  let played = before;
  let since: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const elapsed = () => Math.round(played + (since === undefined ? 0 : performance.now() - since));

  function stop(): void {
    if (since !== undefined) played += performance.now() - since;
    since = undefined;
    clearTimeout(timer);
  }

  function go(): void {
    if (since !== undefined) return;
    since = performance.now();
    timer = setTimeout(onLimit, Math.max(0, limit - played));
  }

  go();
  return { elapsed, hold: (isHeld) => (isHeld ? stop() : go()), [Symbol.dispose]: stop };
}
