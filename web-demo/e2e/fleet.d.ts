/** The fleet that the tests of the official client start too: real Redis, real gateways, a balancer that is not sticky. */
declare module '*/clients/support/fleet.js' {
  export interface FleetGateway {
    readonly port: number;
    /** The address of its private listener. */
    readonly side: string;
    /** Ends it at once, as a crash does. */
    stop(): Promise<void>;
  }
  export interface Fleet {
    readonly url: string;
    readonly gateways: FleetGateway[];
    readonly balancer: { leaveOut(port: number): void };
    metric(name: string): Promise<number>;
    stop(): Promise<void>;
  }
  /** Why there can be none; false if there can. */
  export const missing: string | false;
  export function startFleet(count: number, variables?: Record<string, string>): Promise<Fleet>;
}
