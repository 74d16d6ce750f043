/** Versions of nats-server. Pure. */
export type Version = readonly [major: number, minor: number, patch: number];

/** The first with atomic batches and every kind of schedule. */
export const oldestVersion = [2, 14] as const;

/** @param text what `nats-server --version` prints, `nats-server: v2.14.5`, or what a server tells its clients, `2.14.5` */
export function parseVersion(text: string): Version | undefined {
  const match = /^(?:nats-server: v)?(\d+)\.(\d+)\.(\d+)/.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
}

export const isNewEnough = ([major, minor]: Version): boolean =>
  major > oldestVersion[0] || (major === oldestVersion[0] && minor >= oldestVersion[1]);
