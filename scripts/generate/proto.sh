#!/usr/bin/env bash
# TypeScript into src/proto/gen/: from proto/, and from Envoy's API. The tools and that API come from npm and need no network.
. "$(dirname "$0")/../common.sh"
rm -rf src/proto/gen
node_modules/.bin/buf generate proto --exclude-path proto/envoy-api --template proto/buf.gen.yaml

# Envoy's API as the package has it, without the files whose imports are not in it.
deps=node_modules/@grpc/grpc-js-xds/deps
api=build/envoy-api
rm -rf "$api"
mkdir -p "$api/envoy" "$api/google"
cp -r "$deps"/envoy-api/envoy/{annotations,config,data,extensions,type} "$api/envoy/"
cp -r "$deps"/xds/{udpa,xds} "$deps"/protoc-gen-validate/validate "$api/"
cp -r "$deps"/googleapis/google/{api,rpc} "$api/google/"
rm -r "$api"/google/api/service{control,management}
find "$api/envoy" -depth -type d -regex '.*/v[12]\(alpha1?\)?' -exec rm -r {} +
rm "$api"/envoy/config/trace/v3/{opencensus,trace}.proto "$api"/envoy/extensions/access_loggers/open_telemetry/v3/logs_service.proto
# The package's copy of the annotations is older than their use.
sed -i 's/^message StringRules {/& optional bool ignore_empty = 26;/' "$api/validate/validate.proto"
# Newer than the package (Envoy 1.40 has it): routes by filter state, which is where a waypoint keeps who asks.
sed -i -e 's/^message RouteMatch {/& repeated type.matcher.v3.FilterStateMatcher filter_state = 16;/' \
  -e 's|^import "envoy/type/matcher/v3/metadata.proto";|&\nimport "envoy/type/matcher/v3/filter_state.proto";|' \
  "$api/envoy/config/route/v3/route_components.proto"
# Likewise: limits of their own for each client, and what tells these apart.
sed -i -e 's/^message LocalRateLimit {/& repeated config.route.v3.RateLimit rate_limits = 17; google.protobuf.UInt32Value max_dynamic_descriptors = 18;/' \
  -e 's|^import "envoy/config/core/v3/base.proto";|&\nimport "envoy/config/route/v3/route_components.proto";|' \
  "$api/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto"
# Likewise: what the header of a connection says where chains are chosen.
sed -i 's/^message FilterStateInput {/& string field = 2;/' "$api/envoy/extensions/matching/common_inputs/network/v3/network_inputs.proto"
sed -i 's/^message ProxyProtocol {/& enum TlvLocation { DYNAMIC_METADATA = 0; FILTER_STATE = 1; } TlvLocation tlv_location = 6;/' \
  "$api/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto"
# Likewise: chains of filters that are asked for one by one, by the names that a listener's matcher has.
sed -i -e 's/^message Listener {/& message FcdsConfig { string name = 1; core.v3.ConfigSource config_source = 2; } FcdsConfig fcds_config = 36;/' \
  -e 's|^import "envoy/config/core/v3/base.proto";|&\nimport "envoy/config/core/v3/config_source.proto";|' \
  "$api/envoy/config/listener/v3/listener.proto"
# Newer, too, and whole files.
cp -r proto/envoy-api/. "$api/"
echo 'version: v2' >"$api/buf.yaml"
node_modules/.bin/buf build "$api" --exclude-source-info --output build/envoy-api.binpb
node_modules/.bin/buf generate --template proto/envoy-api.gen.yaml
rm -r "$api" build/envoy-api.binpb
