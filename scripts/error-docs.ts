/** The text of docs/errors.md, from the table in daemon/errors.ts. Pure; test/contract/errors.test.ts keeps the file current. */
import { errorTable } from "../daemon/errors.ts";

const head = `# Errors

Every error reply has the header \`Nats-Service-Error-Code\` (the status below), \`Nats-Service-Error\` (the message), and the body
\`{"error": {"code", "message", "details", "retryable"}}\`. Codes are stable; messages are for people and may change. _Retry_ says
whether the same request may succeed later without a change. Generated from [\`daemon/errors.ts\`](../daemon/errors.ts).

`;

export function renderErrorDocs(): string {
  const rows = Object.entries(errorTable).map(([code, { status, retryable, meaning }]) => [
    `\`${code}\``,
    String(status),
    retryable ? "yes" : "no",
    meaning,
  ]);
  const titles = ["code", "status", "retry", "meaning"];
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |\n`;
  return head + line(titles) + line(widths.map((width) => "-".repeat(width))) + rows.map(line).join("");
}
