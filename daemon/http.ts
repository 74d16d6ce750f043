/** The HTTP endpoint on loopback: `/healthz` and `/metrics`, nothing else. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Logger } from "pino";
import { ConfigError } from "./config.ts";
import { type Metrics, metricsContentType } from "./metrics.ts";

export interface Health {
  readonly status: "ready" | "starting" | "degraded" | "stopping";
  /** Why it is not ready, in sentences. */
  readonly reasons?: readonly string[];
  readonly [detail: string]: unknown;
}

export interface HttpOptions {
  /** 0 = any free port. */
  readonly port: number;
  readonly health: () => Health;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface HttpServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
}

/** Names under which loopback is reached. A page elsewhere whose name resolves to loopback (DNS rebinding) comes under another. */
const ownHost = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/** @throws ConfigError when the port is taken */
export async function startHttpServer({ port, health, metrics, log }: HttpOptions): Promise<HttpServer> {
  const server = createServer(
    { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 1_000 },
    (request, response) => {
      try {
        answer(request, response, health, metrics);
      } catch (error) {
        log.error({ error, url: request.url }, "HTTP request failed");
        send(response, 500, { error: "A defect; the daemon's log has it." });
      }
    },
  );
  server.maxConnections = 64;
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    throw new ConfigError(`--http-port ${port}: cannot listen there (${(error as Error).message}); use another, or 0 for any free one.`);
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse, health: () => Health, metrics: Metrics) {
  if (!ownHost.test(request.headers.host ?? "")) return send(response, 403, { error: "Ask by the address 127.0.0.1 or localhost." });
  const path = request.url?.split("?", 1)[0];
  if (path !== "/healthz" && path !== "/metrics") return send(response, 404, { error: "There are /healthz and /metrics." });
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, { error: "Only GET and HEAD." });
  }
  if (path === "/metrics") return send(response, 200, metrics.text(), metricsContentType);
  const state = health();
  return send(response, state.status === "ready" ? 200 : 503, state);
}

/** The connection closes after each answer, so that no body that nobody reads keeps it. */
function send(response: ServerResponse, status: number, body: object | string, type = "application/json") {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store", connection: "close" });
  response.end(typeof body === "string" ? body : `${JSON.stringify(body)}\n`);
}
