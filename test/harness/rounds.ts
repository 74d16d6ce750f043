/** How often a fault is repeated: a few times in the gate, as often as the promise says in the soak (`npm run soak`). */
export const rounds = (gate: number, soak: number): number => (process.env.REPRISE_SOAK === "1" ? soak : gate);
