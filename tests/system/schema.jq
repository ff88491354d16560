# Whether a value is as a schema says: what service/http/openapi.json uses of JSON Schema 2020-12, no more.
#   jq -n --slurpfile api openapi.json --slurpfile value FILE --argjson schema '{"$ref":"#/..."}' -f schema.jq
# prints what is wrong, a line each; nothing: all is well.

def known: ["type", "required", "properties", "items", "enum", "$ref", "allOf", "oneOf", "minimum", "maximum",
    "additionalProperties", "description", "default"];

def kind:
    if . == null then "null" elif type == "number" then (if . == floor then "integer" else "number" end) else type end;

def check($schema; $at):
    . as $value |
    ($schema | keys_unsorted - known | if length > 0 then "\($at): the schema has \(.), which the check does not know" else empty end),
    if $schema | has("$ref") then
        check($api[0] | getpath($schema["$ref"] | ltrimstr("#/") | split("/")); $at)
    else empty end,
    if $schema | has("type") then
        ($value | kind) as $kind | ([$schema.type] | flatten) as $types |
        if any($types[]; . == $kind or (. == "number" and $kind == "integer")) then empty
        else "\($at): \($kind) instead of \($types | join(" or "))" end
    else empty end,
    if ($schema | has("enum")) and ($schema.enum | index([$value]) == null) then
        "\($at): \($value) is none of \($schema.enum)" else empty end,
    if ($schema | has("minimum")) and ($value | type) == "number" and $value < $schema.minimum then "\($at): \($value) is too small" else empty end,
    if ($schema | has("maximum")) and ($value | type) == "number" and $value > $schema.maximum then "\($at): \($value) is too large" else empty end,
    if $value | type == "object" then
        (($schema.required // [])[] | select(. as $key | $value | has($key) | not) | "\($at): \(.) is missing"),
        (($schema.properties // {}) | to_entries[] | . as $property | select($value | has($property.key)) |
            ($value[$property.key] | check($property.value; "\($at).\($property.key)"))),
        if ($schema | has("additionalProperties")) and ($schema.additionalProperties | type) == "object" then
            $value | to_entries[] | . as $entry | select(($schema.properties // {}) | has($entry.key) | not) |
                ($entry.value | check($schema.additionalProperties; "\($at).\($entry.key)"))
        else empty end
    else empty end,
    if ($value | type == "array") and ($schema | has("items")) then
        range($value | length) as $i | ($value[$i] | check($schema.items; "\($at)[\($i)]")) else empty end,
    (($schema.allOf // [])[] as $part | check($part; $at)),
    if $schema | has("oneOf") then
        [$schema.oneOf[] as $part | [check($part; $at)]] | if any(.[]; length == 0) then empty else "\($at): none of oneOf: \(.[-1] | .[0:3])" end
    else empty end;

$value[] | check($schema; "$") | .[0:400]
