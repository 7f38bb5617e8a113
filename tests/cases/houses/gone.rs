//! The source is gone: a fresh home at another house gets everything back with the phrase, whichever
//! one of the houses cannot be reached.

use super::Street;

// INV-2, RESTORE-1, RESTORE-5, RESTORE-6
#[test]
fn a_vault_comes_back_in_another_house_whichever_one_is_cut_off() {
    let Some(mut street) = Street::new("the source is gone", 405) else { return };
    street.circle.lose_source();
    for (cut, house) in [(0, 1), (1, 2), (2, 1)] {
        println!("  with house {cut} cut off, in house {house}:");
        street.houses.cut_off(cut);
        street.restore_in(house, &format!("fresh{cut}"));
        street.houses.join_again(cut);
    }
}
