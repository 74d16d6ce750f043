/** "Did you mean": the nearest of the known words. Pure. */

/** The known word that is at most a third of the letters away from the given one; undefined if none is. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  const nearest = known.map((candidate) => ({ candidate, edits: distance(word, candidate) })).sort((a, b) => a.edits - b.edits)[0];
  return nearest !== undefined && nearest.edits <= Math.ceil(word.length / 3) ? nearest.candidate : undefined;
}

/** Levenshtein: how many letters must be added, removed or changed. */
function distance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (const [row, letter] of [...left].entries()) {
    const current = [row + 1];
    for (const [column, other] of [...right].entries()) {
      const changed = (previous[column] ?? 0) + (letter === other ? 0 : 1);
      current.push(Math.min(changed, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
