# scripts/run --demo: a database full of made-up customers and traffic. Sourced.

# Before anything else uses the database: one that holds anything else is refused (exit code 4), one that was filled before stays.
seed_demo() {
    echo "demo data: made-up customers and a month of traffic"
    "$SUIFTLY" admin demo seed
}

# Whether the database is marked as made up, also by an earlier start.
is_demo() { [ "$("$SUIFTLY" admin demo status --json | json_field demo)" = true ]; }

# print_demo: how to look at it.
print_demo() {
    local answer token customer ask
    answer=$("$SUIFTLY" admin demo token --json)
    token=$(json_field token <<<"$answer")
    customer=$(json_field customer_id <<<"$answer")
    ask="curl ${SUIFTLY_API_CERT:+--insecure }-H 'Authorization: Bearer $token'"
    cat <<TEXT
  THIS IS DEMO DATA: customers and traffic are made up. Customer $customer has most of everything; a token that reads it for a day:
    $ask $API_URL/api/v1/activity
    $ask $API_URL/api/v1/services/seal/keys
    SUIFTLY_STATE='$SUIFTLY_STATE' '$(realpath "$SUIFTLY")' admin usage --customer $customer --since 24h
    SUIFTLY_STATE='$SUIFTLY_STATE' '$(realpath "$SUIFTLY")' admin demo token      (another token)

TEXT
}

# check_demo: a step of scripts/run --check: the API shows something of the made-up month.
check_demo() {
    local token
    token=$(admin demo token | json_field token)
    expect "demo data: the API has something to show" yes \
        "$(curl -sk -m 5 -H "Authorization: Bearer $token" "$API_URL/api/v1/activity" | grep -q '"action"' && echo yes)"
    expect "demo data: made once" false "$(admin demo seed | json_field seeded)"
}
