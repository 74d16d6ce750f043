/** KTO's two classes: which outcomes were desirable, batches with as many of each, and the weight of either. */
import type { Experience } from "../policies/policy.ts";

export type Judged = Experience & { readonly desirable: boolean };

/**
 * The experiences that teach something: those of either class, and none where the same candidate was chosen each time. There its
 * good and bad outcomes would tell easy contexts from hard ones, which says nothing for or against the others.
 */
export function judgedOf(experiences: readonly Experience[]): Judged[] {
  const judged = experiences.filter((experience): experience is Judged => experience.desirable !== undefined);
  const chosen = new Set(judged.map(({ situation, chosen: position }) => situation.ids[position]));
  return chosen.size > 1 ? judged : [];
}

/** Half from either class, each with equal odds; undefined where a class is empty. */
export function balancedBatch(all: readonly Judged[], size: number, random: () => number): Judged[] | undefined {
  const classes = [all.filter(({ desirable }) => desirable), all.filter(({ desirable }) => !desirable)];
  if (classes.some(({ length }) => length === 0)) return undefined;
  return classes.flatMap((members) => Array.from({ length: size / 2 }, () => members[Math.floor(random() * members.length)] as Judged));
}

export interface ClassWeights {
  readonly desirable: number;
  readonly undesirable: number;
}

const mostTilt = 1.5;

/**
 * λ_D and λ_U for a batch: what is asked, with the lighter side raised until λ_D n_D / (λ_U n_U) is in [1, 3/2] (Ethayarajh et
 * al. 2024, §4.2, for imbalanced data). With as many of each, and equal weights asked, both stay.
 */
export function classWeights(desirable: number, undesirable: number, asked: ClassWeights): ClassWeights {
  const tilt = (asked.desirable * desirable) / (asked.undesirable * undesirable);
  if (tilt < 1) return { ...asked, desirable: asked.desirable / tilt };
  if (tilt > mostTilt) return { ...asked, undesirable: (asked.undesirable * tilt) / mostTilt };
  return asked;
}
