/** What of the repository could not be read because an object is damaged: the rest is indexed without it, until it is mended. */
import { CodedError } from "../../../daemon/errors.ts";
import type { Database, Repository } from "../../../daemon/module.ts";
import { progressOf, setProgress } from "./tables.ts";

/** Milliseconds between looks whether it is mended. */
const lookEvery = 1_000;

export class Damage {
  readonly #database: Database;
  readonly #repository: Repository;
  #objects: Set<string>;
  #looked = 0;

  constructor(database: Database, repository: Repository) {
    this.#database = database;
    this.#repository = repository;
    this.#objects = new Set<string>(JSON.parse(progressOf(database, "damage") ?? "[]"));
  }

  /** @returns the error, if what is read is damaged; that is noted down */
  async tryRead<Content>(read: () => Promise<Content>): Promise<Content | CodedError> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof CodedError) || typeof error.details.object !== "string") throw error;
      this.#objects.add(error.details.object);
      setProgress(this.#database, "damage", JSON.stringify([...this.#objects]));
      return error;
    }
  }

  /** Can any of it be read again? Looks at most once in a second. */
  async isMended(): Promise<boolean> {
    if (this.#objects.size === 0 || Date.now() - this.#looked < lookEvery) return false;
    this.#looked = Date.now();
    for (const object of this.#objects) {
      const isReadable = await this.#repository.readBlob(object).then(
        () => true,
        () => false,
      );
      if (isReadable) return true;
    }
    return false;
  }

  forget(): void {
    this.#objects = new Set();
  }
}
