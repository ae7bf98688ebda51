//! The cases of the contract. Each takes a [`fleet::Fleet`] of its own, of [`fleet::GATEWAYS`] gateways that hold nothing yet.

pub(crate) mod append;
pub(crate) mod audience;
pub(crate) mod broadcast;
pub(crate) mod checks;
pub(crate) mod claims;
pub(crate) mod erase;
pub(crate) mod fleet;
pub(crate) mod gateways;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod ledger;
pub(crate) mod notes;
pub(crate) mod once;
pub(crate) mod order;
pub(crate) mod pace;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod sale;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod spins;
pub(crate) mod together;
pub(crate) mod votes;

/// Calls the macro `$run` with the names of all cases.
macro_rules! contract_cases {
    ($run:ident) => {
        $run! {
            append {
                counts_each_stream_from_one,
                writes_the_number_between_the_pieces,
                reaches_every_gateway,
                changes_fields_with_the_entry,
                removes_fields,
                lists_the_streams_that_exist,
                starts_another_epoch_after_losing_its_data,
                begins_the_epoch_that_it_names,
            }
            order {
                is_the_same_for_every_gateway_when_threads_share_a_stream,
                rises_across_streams,
            }
            together {
                stand_in_the_order_in_which_they_are_made,
                leave_the_newest_in_a_log_that_is_full,
                see_the_state_that_those_before_have_left,
                know_the_repetition_of_one_before,
                keep_their_distance_from_one_before,
                erase_what_stands_right_before,
            }
            checks {
                hold_for_the_text_a_field_has,
                hold_for_absence_and_presence,
                change_nothing_when_they_fail,
                do_not_create_the_stream_when_they_fail,
                let_one_of_many_through,
            }
            once {
                answers_a_repetition_with_the_first_entry,
                publishes_a_repetition_to_nobody,
                answers_a_repetition_whose_checks_would_fail_now,
                is_per_stream,
                ends_with_its_time,
                outlives_the_trimmed_log,
                lets_one_of_many_through,
                is_not_used_up_by_a_failed_check,
            }
            erase {
                takes_text_out_of_history,
                keeps_the_number_and_the_name_for_replay,
                ignores_numbers_that_are_not_there,
            }
            snapshot {
                is_nothing_before_the_stream_exists,
                holds_position_fields_and_history,
                is_of_one_moment,
                shares_its_clock_with_the_entries,
            }
            read {
                gives_what_came_after,
                stops_at_the_limit,
                is_empty_at_the_end,
                starts_at_the_beginning_without_a_position,
                is_gone_when_the_log_was_trimmed,
                is_gone_in_another_epoch,
                is_gone_past_the_end,
                of_an_unknown_stream_is_empty_or_gone,
            }
            history {
                gives_the_newest_oldest_first,
                leaves_other_events_out,
                pages_back_to_the_beginning,
                of_an_unknown_stream_is_empty,
            }
            audience {
                sums_the_viewers_of_all_gateways,
                replaces_a_share_and_gives_it_up_at_zero,
                lapses_without_renewal,
                counts_who_moves_once,
                remembers_the_peak,
                is_counted_anew,
                counts_a_user_of_two_gateways_once,
                estimates_a_crowd,
                adds_counters_up,
                adds_once_what_is_told_again,
                answers_in_the_order_of_the_shares,
                never_creates_a_stream,
            }
            sessions {
                come_back_on_any_gateway,
                stay_after_they_were_read,
                are_replaced,
                are_forgotten,
                expire,
                live_on_when_saved_again,
            }
            gateways {
                see_each_other_by_number,
                are_gone_once_withdrawn,
                lapse_without_renewal,
                live_on_when_renewed,
                may_move,
                come_back_after_the_data_was_lost,
            }
            broadcast {
                reaches_the_other_gateways_that_want_it,
                without_rooms_reaches_all_others,
                carries_bytes_and_exceptions,
                keeps_its_order,
            }
            request {
                collects_the_answer_of_every_other_gateway,
                names_those_that_did_not_answer_in_time,
                counts_a_dropped_reply_as_no_answer,
                that_orders_returns_at_once,
                reaches_nobody_alone,
            }
        }
    };
}

/// Calls the macro `$run` with the names of all cases of a live sale. Each takes a [`sale::Sale`] of its own.
macro_rules! market_cases {
    ($run:ident) => {
        $run! {
            pace {
                keeps_appends_of_one_key_apart,
                is_not_used_up_by_what_is_refused,
                does_not_touch_a_repetition,
            }
            ledger {
                keeps_what_is_to_be_recorded,
                leaves_out_what_is_not,
                is_read_in_pages,
                of_an_unknown_stream_is_empty,
                is_read_by_one_at_a_time,
                remembers_how_far_it_was_read,
                rises_with_time,
            }
            claims {
                take_from_the_stock,
                never_exceed_the_stock,
                never_exceed_the_share,
                take_all_or_nothing,
                repeat_the_first_answer,
                keep_requests_apart_by_user_and_pool,
                refuse_another_quantity_under_the_same_name,
                are_refused_outside_their_time,
                are_made_only_on_the_state_that_is_expected,
                need_a_stream,
                count,
                are_recorded,
                are_listed,
                are_listed_however_many_they_are,
                of_many_threads_sell_exactly_the_stock,
                that_come_together_are_decided_in_their_order,
                are_gone_with_the_data,
            }
            holds {
                run_out,
                are_confirmed,
                cannot_be_confirmed_too_late,
                are_released,
                are_released_even_when_final,
                answer_a_repetition,
                do_not_know_other_pools,
                come_back_no_sooner_than_everybody_can_know,
                come_back_without_a_claim,
                count_their_worth_when_they_are_final,
            }
            spins {
                draw_by_number_and_weight,
                skip_what_is_given_away,
                give_nothing_when_nothing_is_left,
                end_with_the_turns,
                take_the_number_of_the_turn,
                repeat_the_first_answer,
                are_refused_outside_their_time,
                tell_of_a_prize,
                are_recorded,
                of_many_threads_give_exactly_the_stock,
            }
            votes {
                count_once_for_each_user,
                keep_pools_apart,
                are_refused_when_it_is_over,
                are_among_the_totals,
                fill_the_gaps_of_an_append,
                are_forgotten,
            }
            notes {
                are_read_back,
                are_replaced_and_taken_out,
                are_forgotten_in_time,
                are_written_where_another_one_stands,
                count_the_changes_of_a_book,
                are_recorded,
                need_a_stream,
            }
        }
    };
}
