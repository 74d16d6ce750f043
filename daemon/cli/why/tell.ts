/** A story as text for people. Pure. */
import type { RunStatus, Selection } from "./records.ts";
import type { DecisionStory, Story } from "./story.ts";

type Line = readonly [label: string, value: string | undefined];

export function tell(story: Story): string {
  const same: Line[] = [["the same in git", story.git_log]];
  switch (story.kind) {
    case "decision":
      return paragraph(decisionLines(story.decision)) + paragraph(same);
    case "selection": {
      const { selection, decision } = story;
      return (
        paragraph(choiceLines(selection)) +
        (decision ? `\nIt is recorded as a decision:\n${paragraph(decisionLines({ ...decision, selection: undefined }))}` : "") +
        paragraph(same)
      );
    }
    case "run": {
      const { run, decisions, selections } = story;
      const parts = [
        paragraph(runLines(run)),
        heading(decisions.length, "decision"),
        ...decisions.map((decision) => `\n${paragraph(decisionLines({ ...decision, run: undefined, agent: undefined }))}`),
        ...(selections.length > 0
          ? [heading(selections.length, "choice of the policy", "choices of the policy that no decision reports")]
          : []),
        ...selections.map((one) => `\n${paragraph(choiceLines(one))}`),
        ...(decisions.length > 0 ? [`\n${paragraph(same)}`] : []),
      ];
      return parts.join("");
    }
  }
}

function runLines(run: RunStatus): Line[] {
  return [
    ["run", `${run.run_id}, ${run.state}`],
    ["pattern", at(run.pattern, run.version, run.commit)],
    ["agent", run.agent_id],
    ["time", `${run.started_at} – ${run.ended_at ?? "now"}, ${run.steps} steps`],
    ["error", run.error && `${run.error.code}: ${run.error.message}`],
    ["result", shortened(text(run.result))],
    ...(run.judgements ?? []).map(({ line, text: judged }): Line => ["not judged", `line ${line}: ${judged}`]),
  ];
}

function decisionLines(decision: DecisionStory): Line[] {
  const { selection, git } = decision;
  return [
    ["decision", text(decision.decision)],
    ["because", decision.reason],
    ["pattern", at(decision.pattern, decision.version, decision.pattern_commit)],
    ["options", selection ? undefined : decision.options?.map(text).join(", ")],
    ...(selection ? selectionLines(selection, decision.reason) : []),
    ["confidence", decision.confidence === undefined ? undefined : round(decision.confidence)],
    ["context", shortened(text(decision.context ?? selection?.context))],
    ["outcome", text(decision.outcome) ?? "not known yet"],
    ["time", decision.time],
    ["agent", decision.agent],
    ["run", decision.run],
    ["id", decision.id],
    ["commit", decision.commit ?? "on its way into git"],
    ["git log", git?.log],
    ["git blame", git?.blame],
  ];
}

const choiceLines = (selection: Selection): Line[] => [
  ["choice", `${selection.choice} for ${selection.slot}`],
  ["context", shortened(text(selection.context))],
  ...selectionLines(selection),
  ["id", selection.decision_id],
];

function selectionLines({ probability, candidates, choice, scores, reason, policy, version, outcome }: Selection, told?: string): Line[] {
  const odds = candidates.map(
    ({ id }) => `${id === choice ? `${id}, chosen with probability ${round(probability)},` : id} score ${round(scores[id] ?? 0)}`,
  );
  return [
    ["options", odds.join("; ")],
    ["the policy", `${policy} ${version}${reason === told ? "" : `: ${reason}`}`],
    [
      "reward",
      outcome && `${round(outcome.reward)}${outcome.success === undefined ? "" : outcome.success ? ", a success" : ", a failure"}`,
    ],
  ];
}

const at = (pattern: string, version?: string, commit?: string): string =>
  `${pattern}${version ? `@${version}` : ""}${commit ? ` at commit ${commit}` : ""}`;

const round = (value: number): string => String(Math.round(value * 10_000) / 10_000);

function text(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === "string" ? value : JSON.stringify(value);
}

const longestText = 400;

const shortened = (told: string | undefined): string | undefined =>
  told !== undefined && told.length > longestText
    ? `${told.slice(0, longestText)}… (${told.length} characters; --json tells all of them)`
    : told;

const heading = (count: number, one: string, many = `${one}s`): string => `\n${count} ${count === 1 ? one : many}\n`;

const labelWidth = 17;

const paragraph = (lines: readonly Line[]): string =>
  lines.map(([label, value]) => (value === undefined ? "" : `${label.padEnd(labelWidth)}${value}\n`)).join("");
