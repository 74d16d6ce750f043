/**
 * What a run may spend on models and tools, shared with the runs that it started: each has an account of its own within that of
 * its parent, so a tree of runs together stays within the limits of its first.
 *
 * 1. What a call may need at most is reserved before it, in the accounts of the run and of all above it; what it really took
 *    replaces that when it is released.
 * 2. A call for which too little is left waits while others may give something back; alone, it goes ahead with what is left. So
 *    an account is exceeded by one call at most, however many race for the rest.
 */
import { type Limits, limitExceeded } from "./interpreter/limits.ts";

/** Tokens, and money in whatever currency the prices of the models are given in. */
export interface Spend {
  readonly tokens: number;
  readonly cost: number;
}

/** Puts back what a call did not use. Only the first time counts. */
export type Release = (actual: Spend) => void;

/** What one step pays from. */
export interface Purse {
  /**
   * Sets aside what a call takes at most.
   * @throws CodedError RUN_LIMIT_EXCEEDED naming what is used up; the signal's reason
   */
  reserve(most: Spend, signal: AbortSignal): Promise<Release>;
  /** Pays for what was not known before. */
  spend(actual: Spend): void;
}

export interface Account extends Purse {
  /** By the run and all below it. */
  readonly used: Spend;
  /** By the run itself. */
  readonly own: Spend;
  /** @throws CodedError RUN_LIMIT_EXCEEDED when more was spent than this account, or one above it, allows */
  assertWithin(): void;
  /** A purse of this account that also counts for itself. */
  purse(): Purse & { readonly spent: Spend };
  /**
   * The account of a run that this one's run started.
   * @param own what that run itself has spent before, below: what the runs below it that ended have
   */
  open(limits: AccountLimits, own?: Spend, below?: Spend): Account;
}

export type AccountLimits = Pick<Limits, keyof Spend>;

export const nothing: Spend = { tokens: 0, cost: 0 };
const kinds = ["tokens", "cost"] as const;

export function openAccount(limits: AccountLimits, own: Spend = nothing, below: Spend = nothing): Account {
  return accountWithin([], limits, { own, below }, []);
}

/** One account's state; a reservation is noted in each account of a chain. */
interface Book {
  readonly limits: AccountLimits;
  used: Spend;
  reserved: Spend;
  /** Calls that hold a reservation. */
  calls: number;
}

/** @param waiting calls of the whole tree for which too little was left, oldest first */
function accountWithin(
  above: readonly Book[],
  limits: AccountLimits,
  before: { own: Spend; below: Spend },
  waiting: (() => void)[],
): Account {
  const book: Book = { limits, used: nothing, reserved: nothing, calls: 0 };
  const books = [book, ...above];
  const add = (actual: Spend) => {
    for (const one of books) one.used = sum(one.used, actual);
  };
  add(sum(before.own, before.below));
  let { own } = before;
  const spend = (actual: Spend) => {
    own = sum(own, actual);
    add(actual);
  };

  const assertLeft = () => {
    for (const book of books) {
      for (const kind of kinds) if (book.used[kind] >= book.limits[kind]) throw limitExceeded(kind, book.limits[kind]);
    }
  };
  const mayGoAhead = (most: Spend) => books.every((book) => book.calls === 0 || fits(book, most));

  async function reserve(most: Spend, signal: AbortSignal): Promise<Release> {
    for (;;) {
      signal.throwIfAborted();
      assertLeft();
      if (mayGoAhead(most)) break;
      await turn(waiting, signal);
    }
    for (const book of books) {
      book.reserved = sum(book.reserved, most);
      book.calls++;
    }
    let isReleased = false;
    return (actual) => {
      if (isReleased) return;
      isReleased = true;
      for (const book of books) {
        book.reserved = difference(book.reserved, most);
        book.calls--;
      }
      spend(actual);
      for (const wake of waiting.splice(0)) wake();
    };
  }

  return {
    get used() {
      return book.used;
    },
    get own() {
      return own;
    },
    reserve,
    spend,
    assertWithin() {
      for (const book of books) {
        for (const kind of kinds) if (book.used[kind] > book.limits[kind]) throw limitExceeded(kind, book.limits[kind]);
      }
    },
    purse() {
      let spent = nothing;
      const note = (actual: Spend) => {
        spent = sum(spent, actual);
      };
      return {
        get spent() {
          return spent;
        },
        async reserve(most, signal) {
          const release = await reserve(most, signal);
          let isReleased = false;
          return (actual) => {
            if (!isReleased) note(actual);
            isReleased = true;
            release(actual);
          };
        },
        spend(actual) {
          note(actual);
          spend(actual);
        },
      };
    },
    open: (childLimits, childOwn = nothing, below = nothing) => accountWithin(books, childLimits, { own: childOwn, below }, waiting),
  };
}

function turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      signal.removeEventListener("abort", wake);
      resolve();
    };
    signal.addEventListener("abort", wake, { once: true });
    waiting.push(wake);
  });
}

const fits = ({ limits, used, reserved }: Book, most: Spend): boolean =>
  kinds.every((kind) => used[kind] + reserved[kind] + most[kind] <= limits[kind]);

const sum = (one: Spend, other: Spend): Spend => ({ tokens: one.tokens + other.tokens, cost: one.cost + other.cost });
const difference = (one: Spend, other: Spend): Spend => ({ tokens: one.tokens - other.tokens, cost: one.cost - other.cost });
