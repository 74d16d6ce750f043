/**
 * Which ids a message may have, and who may give them. Pure.
 *
 * An event or a request is recognised as a repetition by its id alone. So ids that the daemon makes, and that others could guess, have
 * a form that nobody outside may give: they begin with a ULID and a slash (`RUN/3`, `DECISION/outcome`), or hold a `~`. Else somebody
 * who gives the id first would have the daemon take its own event for a repetition, and leave it out.
 */

/** Ids from outside stand in headers and subjects: printable ASCII without space and wildcards. Those of the daemon's own form are none. */
export const idGrammar = /^(?![0-9A-Z]{26}\/)[A-Za-z0-9_-][A-Za-z0-9_.:@/+=-]{0,127}$/;

const ownForm = /^[0-9A-Z]{26}\/|~/;
const ulid = /^[0-9A-Z]{26}$/;

/** Is it of the form that the daemon alone gives? */
export const isOwnId = (id: string): boolean => ownForm.test(id);

/**
 * The id of what follows from `id` as its `part`: the same each time, and given by nobody else, wherever `id` itself came from.
 * @param id that of a message, an agent, a decision; or a hash
 */
export const derivedId = (id: string, part: string): string => `${id}${ulid.test(id) || isOwnId(id) ? "/" : "~"}${part}`;
