/**
 * Seals what the daemon keeps in NATS beside the events, so that it trusts only what it wrote itself.
 *
 * NATS sends replies with the rights of whoever answers: a client that may not write to a stream can still have the server
 * copy a message there. A sealed text is bound to the place where it belongs, so a copy elsewhere does not open.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export interface Seal {
  /** @param place where the text will stand: a subject, or bucket and key */
  close(place: string, value: unknown): string;
  /** The value, or undefined when this text was not sealed for this place. */
  open<Value>(place: string, text: string): Value | undefined;
}

/** Length of an SHA-256 in base64url. */
const macLength = 43;

/** A sealed text is the code of authentication, then the value as JSON. */
export function createSeal(secret: string): Seal {
  const mac = (place: string, json: string) => createHmac("sha256", secret).update(place).update("\n").update(json).digest("base64url");
  return {
    close(place, value) {
      const json = JSON.stringify(value);
      return mac(place, json) + json;
    },
    open<Value>(place: string, text: string) {
      const json = text.slice(macLength);
      const [given, wanted] = [Buffer.from(text.slice(0, macLength)), Buffer.from(mac(place, json))];
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return undefined;
      return JSON.parse(json) as Value;
    },
  };
}
