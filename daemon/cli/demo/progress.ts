/** Shows on stderr how far something is: one line that changes on a terminal, a line every tenth elsewhere. */
export interface Progress extends Disposable {
  update(done: number): void;
}

export function showProgress(label: string, total: number, stream: NodeJS.WriteStream = process.stderr): Progress {
  const begun = performance.now();
  let shownTenth = -1;
  let shownAt = Number.NEGATIVE_INFINITY;
  const text = (done: number) => `${label}: ${done}/${total} files, ${((performance.now() - begun) / 1_000).toFixed(1)} s`;
  return {
    update(done) {
      const now = performance.now();
      if (stream.isTTY) {
        if (now - shownAt < 100 && done < total) return;
        shownAt = now;
        stream.write(`\r\x1b[K${text(done)}`);
        return;
      }
      const tenth = Math.floor((10 * done) / Math.max(1, total));
      if (tenth === shownTenth) return;
      shownTenth = tenth;
      stream.write(`${text(done)}\n`);
    },
    [Symbol.dispose]() {
      if (stream.isTTY) stream.write("\n");
    },
  };
}
