/** What the demo found out, as numbers and as a table. Pure. */

/** What one method did to one file. */
export interface Measurement {
  readonly original_bytes: number;
  readonly compressed_bytes: number;
  /** 1 − compressed / original. */
  readonly saved_share: number;
  readonly milliseconds: number;
}

export interface MeasuredFile {
  readonly path: string;
  /** The method that was chosen for it. */
  readonly choice: string;
  /** What each method does to it. */
  readonly measured: Readonly<Record<string, Measurement>>;
}

/** One way to choose a method for every file, and what comes of it. */
export interface Row {
  readonly choice: string;
  readonly bytes: number;
  /** Of all files together. */
  readonly saved_share: number;
  readonly milliseconds: number;
  /** Mean over the files of saved share − λ · milliseconds. */
  readonly mean_reward: number;
}

export interface Summary {
  readonly learned: Row;
  /** Best first. */
  readonly fixed: readonly Row[];
  readonly best_possible: Row;
}

/**
 * All rows are of the same measurements, so that they differ by the choices alone.
 * @param lambda share of a file that a millisecond is worth
 */
export function summarise(files: readonly MeasuredFile[], lambda: number): Summary {
  const reward = ({ saved_share, milliseconds }: Measurement) => saved_share - lambda * milliseconds;
  const methods = Object.keys(files[0]?.measured ?? {});
  const row = (choice: string, methodOf: (file: MeasuredFile) => string): Row => {
    const all = files.flatMap((file) => file.measured[methodOf(file)] ?? []);
    const sum = (value: (measurement: Measurement) => number) => all.reduce((total, measurement) => total + value(measurement), 0);
    const bytes = sum(({ compressed_bytes }) => compressed_bytes);
    return {
      choice,
      bytes,
      saved_share:
        1 -
        bytes /
          Math.max(
            1,
            sum(({ original_bytes }) => original_bytes),
          ),
      milliseconds: sum(({ milliseconds }) => milliseconds),
      mean_reward: sum(reward) / Math.max(1, all.length),
    };
  };
  const bestOf = ({ measured }: MeasuredFile) =>
    methods.reduce((best, method) => (rewardIn(measured, method) > rewardIn(measured, best) ? method : best));
  const rewardIn = (measured: MeasuredFile["measured"], method: string) => {
    const measurement = measured[method];
    return measurement === undefined ? Number.NEGATIVE_INFINITY : reward(measurement);
  };
  return {
    learned: row("learned", ({ choice }) => choice),
    fixed: methods.map((method) => row(method, () => method)).sort((left, right) => right.mean_reward - left.mean_reward),
    best_possible: row("best possible", bestOf),
  };
}

export function renderTable({ learned, fixed, best_possible }: Summary): string {
  const head = ["choice", "bytes", "saved", "ms", "mean reward"];
  const body = [learned, ...fixed, best_possible].map(({ choice, bytes, saved_share, milliseconds, mean_reward }) => [
    choice,
    bytes.toLocaleString("en"),
    `${(100 * saved_share).toFixed(2)} %`,
    milliseconds.toFixed(1),
    mean_reward.toFixed(4).replace("-0.0000", "0.0000"),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: string[]) =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  ");
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(line), ""].join("\n");
}

/** One sentence on how the learned choice compares, and how much there was to win. */
export function verdict({ learned, fixed, best_possible }: Summary): string {
  const [best] = fixed;
  if (best === undefined) return "";
  const against = (reward: number) => {
    const difference = reward - best.mean_reward;
    if (Math.abs(difference) < 0.00005) return "the same as";
    const share = best.mean_reward > 0 ? ` (${((100 * Math.abs(difference)) / best.mean_reward).toFixed(1)} %)` : "";
    return `${Math.abs(difference).toFixed(4)}${share} ${difference >= 0 ? "above" : "below"}`;
  };
  return (
    `The learned choice's mean reward is ${against(learned.mean_reward)} that of ${best.choice}, the best fixed choice, which nobody knows ` +
    `beforehand; the best choice for each file would be ${against(best_possible.mean_reward)} it.`
  );
}
